from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

import regtopk_bench as rb


@given(st.floats(1e-6, 1.0), st.integers(1, 10**7))
def test_k_is_the_floor_of_the_product_and_at_least_one(density: float, dim: int) -> None:
    k = rb.TopK(density=density).entries(dim)
    assert k == max(1, math.floor(density * dim)) or k == round(density * dim)
    assert 1 <= k <= dim


@pytest.mark.parametrize(
    ("density", "dim", "k"), [(0.6, 100, 60), (0.29, 100, 29), (0.001, 100, 1), (0.57, 100, 57)]
)
def test_decimal_densities_mean_what_they_say(density: float, dim: int, k: int) -> None:
    assert rb.TopK(density=density).entries(dim) == k


@pytest.mark.parametrize("density", [0.0, -0.1, 1.5, float("nan"), float("inf")])
def test_impossible_densities_are_refused(density: float) -> None:
    with pytest.raises(rb.ConfigurationError, match=r"not in \(0, 1\]"):
        rb.TopK(density=density)


def test_exactly_one_of_density_and_k() -> None:
    with pytest.raises(rb.ConfigurationError, match="either density or k"):
        rb.TopK()
    with pytest.raises(rb.ConfigurationError, match="either density or k"):
        rb.TopK(density=0.5, k=3)


def test_k_must_suit_the_gradient() -> None:
    with pytest.raises(rb.ConfigurationError, match="exceeds the 5 entries"):
        rb.TopK(k=6).init(rb.Placement.alone(2, 5))
    with pytest.raises(rb.ConfigurationError, match="at least 1"):
        rb.TopK(k=0)


@dataclass(frozen=True, kw_only=True)
class Careless(rb.TopK):
    """Whose validation takes the place of the one that it should add to."""

    def __post_init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("budget", "message"), [({"density": 3.0}, r"not in \(0, 1\]"), ({"k": 0}, "not at least 1")]
)
def test_a_budget_is_validated_even_if_a_subclass_forgets_to(
    budget: dict[str, float], message: str
) -> None:
    with pytest.raises(rb.ConfigurationError, match=message):
        Careless(**budget).init(rb.Placement.alone(2, 5))  # type: ignore[arg-type]
