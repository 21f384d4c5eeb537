"""What is recorded of a sparsifier tells it apart from every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import regtopk_bench as rb
from regtopk_bench.algorithms import AlgorithmSpec
from regtopk_bench.sparsify import make, record, sparsifier_class


@dataclass(frozen=True)
class Shaped(rb.TopK):
    """A sparsifier with a hyper-parameter that is no number."""

    shape: Any = None


def recorded(shape: Any) -> Any:
    return record(Shaped(k=1, shape=shape))["shape"]


def test_every_hyper_parameter_is_there_with_the_name() -> None:
    assert record(rb.RegTopK(k=2, mu=3.0)) == {
        "algorithm": "regtopk",
        "k": 2,
        "mu": 3.0,
        "q": 1e8,
        "denominator": "previous",
    }
    assert record(rb.PerLayer(rb.Dense())) == {"algorithm": "dense", "scope": "layer"}
    assert record(Shaped(k=1)) == {"algorithm": f"{__name__}.Shaped", "k": 1}


@pytest.mark.parametrize("make_array", [np.array, torch.tensor])
def test_arrays_are_told_apart_by_all_of_their_values(make_array: Any) -> None:
    long = [0.0] * 5000
    other = [*long[:2500], 1.0, *long[2501:]]
    assert recorded(make_array(long)) == recorded(make_array(long))
    assert recorded(make_array(long)) != recorded(make_array(other))
    assert recorded([1, 2]) != recorded([1, 3])


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(rb.ConfigurationError, match="shape is of type function"):
        recorded(lambda: 0)


def test_reserved_names_are_refused() -> None:
    with pytest.raises(rb.ConfigurationError, match='hyper-parameter "scope", a name that'):
        sparsifier_class(f"{__name__}.Reserved")


@dataclass(frozen=True)
class Reserved(rb.TopK):
    """A sparsifier whose hyper-parameter would hide what results say of all of them."""

    scope: str = "mine"


@dataclass(frozen=True)
class Salted(rb.TopK):
    """A sparsifier with a whole number that no float has."""

    salt: int = 0

    def __post_init__(self) -> None:
        if self.salt < 0:
            raise ValueError("salt is below 0")


def test_whole_numbers_are_read_exactly() -> None:
    spec = AlgorithmSpec(f"{__name__}.Salted", (("salt", "9007199254740993"),))
    assert record(make(spec, k=1))["salt"] == 9007199254740993


def test_a_plain_value_error_is_one_of_configuration() -> None:
    with pytest.raises(rb.ConfigurationError, match="Salted: salt is below 0"):
        make(AlgorithmSpec(f"{__name__}.Salted", (("salt", "-1"),)), k=1)


class Undecorated(rb.TopK):
    """A sparsifier whose hyper-parameter would be lost: its class is no dataclass."""

    beta: float = 0.5


def test_fields_that_are_no_hyper_parameters_are_refused() -> None:
    message = r"Undecorated.beta would be no hyper-parameter: make the class a dataclass"
    with pytest.raises(rb.ConfigurationError, match=message):
        sparsifier_class(f"{__name__}.Undecorated")
    with pytest.raises(rb.ConfigurationError, match=message):
        Undecorated(k=1)
