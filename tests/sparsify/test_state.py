"""What a state saves follows from its fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.sparsify import State, unsaved
from regtopk_bench.sparsify.state import restore, rows_of


@dataclass(kw_only=True)
class Inner(State):
    total_N: Tensor


@dataclass(kw_only=True)
class Outer(State):
    momentum_NJ: Tensor
    last_Nk: Tensor | None = None
    round: int = 0
    rate: float = 0.5
    last: float | None = None
    parts: list[Inner] = unsaved(default_factory=list)
    scratch: object = unsaved(default=None)


@dataclass(kw_only=True)
class Nested(State):
    parts: list[Inner]


@dataclass(kw_only=True)
class Odd(State):
    words: str = "no row"


PLACEMENT = rb.Placement.alone(3, 4)


def outer() -> Outer:
    return Outer(placement=PLACEMENT, momentum_NJ=torch.zeros(3, 4))


def test_every_field_that_is_not_marked_is_saved_with_a_row_per_worker() -> None:
    state = outer()
    assert set(rows_of(state)) == {"momentum_NJ", "number.round", "number.rate"}
    state.last_Nk, state.round, state.scratch = torch.ones(3, 2), 7, object()
    state.momentum_NJ += 2.0
    rows = rows_of(state)
    assert all(len(row) == 3 for row in rows.values())
    fresh = outer()
    restore(fresh, {name: row.clone() for name, row in rows.items()})
    assert torch.equal(fresh.momentum_NJ, state.momentum_NJ)
    assert fresh.last_Nk is not None
    assert torch.equal(fresh.last_Nk, torch.ones(3, 2))
    assert (fresh.round, fresh.rate, fresh.scratch) == (7, 0.5, None)
    assert type(fresh.round) is int


@pytest.mark.parametrize("value", [0.1 + 1e-9, 2**53 + 1, True, 0, 1e-300])
def test_numbers_are_saved_exactly_and_with_their_type(value: float) -> None:
    state, fresh = outer(), outer()
    state.last = value
    restore(fresh, rows_of(state))
    assert fresh.last == value
    assert type(fresh.last) is type(value)


def test_states_in_a_list_are_saved_under_their_numbers() -> None:
    state = Nested(
        placement=PLACEMENT,
        parts=[Inner(placement=PLACEMENT, total_N=torch.full((3,), float(n))) for n in range(2)],
    )
    rows = rows_of(state)
    assert list(rows) == ["parts.0.total_N", "parts.1.total_N"]
    fresh = Nested(
        placement=PLACEMENT,
        parts=[Inner(placement=PLACEMENT, total_N=torch.zeros(3)) for _ in range(2)],
    )
    restore(fresh, rows)
    assert fresh.parts[1].total_N.tolist() == [1.0, 1.0, 1.0]


def test_what_cannot_be_saved_says_what_to_do() -> None:
    with pytest.raises(rb.ConfigurationError, match=r"Odd\.words cannot be saved.*unsaved\(\)"):
        rows_of(Odd(placement=PLACEMENT))
    with pytest.raises(rb.ConfigurationError, match="a row for each of 3 workers"):
        rows_of(Outer(placement=PLACEMENT, momentum_NJ=torch.zeros(2, 4)))


def test_rows_of_another_state_are_refused() -> None:
    with pytest.raises(rb.ConfigurationError, match='has "velocity", which Outer does not'):
        restore(outer(), {**rows_of(outer()), "velocity": torch.zeros(3, 4)})
    with pytest.raises(rb.ConfigurationError, match='lacks "momentum_NJ", which Outer has'):
        restore(outer(), {})


def test_what_is_not_declared_cannot_be_lost() -> None:
    state = outer()
    state.momentum = torch.zeros(3, 4)  # type: ignore[attr-defined]
    with pytest.raises(rb.ConfigurationError, match=r"Outer\.momentum is no field"):
        rows_of(state)


def regtopk_rows(**changed: Any) -> dict[str, Tensor]:
    """Return what RegTop-k saves after a round, some of it changed; None leaves it out."""
    state, grad = rb.RegTopK(k=2).init(PLACEMENT), torch.arange(12.0).view(3, 4).double()
    message = rb.RegTopK(k=2).compress(state, grad)
    rb.RegTopK(k=2).feedback(state, rb.aggregate(message, PLACEMENT.weights_N))
    rows = {name: row.clone() for name, row in rb.RegTopK(k=2).state_dict(state).items()}
    return {name: row for name, row in (rows | changed).items() if row is not None}


INDICES = torch.tensor([[2, 3], [2, 3], [2, 3]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sent_indices_Nk": INDICES + 2**40}, "index 1099511627779 is not among the 4 entries"),
        ({"sent_indices_Nk": INDICES - 3}, "index -1 is not among"),
        ({"sent_indices_Nk": INDICES.flip(1)}, "row 0 are not distinct and ascending"),
        ({"sent_indices_Nk": INDICES.double()}, r"expected .* torch.int64 .* not .* torch.float64"),
        ({"sent_indices_Nk": INDICES[:, :1]}, r"\(3, 2\) torch.int64 on cpu, not \(3, 1\)"),
        ({"sent_indices_Nk": None}, "only some of what was sent"),
        ({"received_Nk": torch.zeros(3, 2)}, "received_Nk: .* not .* torch.float32"),
        ({"sent_values_Nk": torch.full((3, 2), torch.nan).double()}, "not finite"),
        ({"residual_NJ": torch.full((3, 4), torch.nan).double()}, "residual is not finite"),
        ({"residual_NJ": torch.zeros(3, 5).double()}, r"\(3, 4\) .* not \(3, 5\)"),
        ({"residual_NJ": torch.zeros(3, 4)}, "not .* torch.float32"),
        ({"residual_NJ": torch.zeros(2, 4).double()}, r'saved "residual_NJ": expected .* \(3, 4\)'),
        ({"residual_NJ": [[0.0]]}, "not a tensor with a row for each worker"),
        ({"more": torch.zeros(3)}, 'has "more", which RegTopKState does not'),
    ],
)
def test_rows_that_no_round_leaves_are_refused(changed: dict[str, Any], message: str) -> None:
    """Where they would be read as indices, they would lead to memory of others."""
    rb.RegTopK(k=2).load_state_dict(rb.RegTopK(k=2).init(PLACEMENT), regtopk_rows())
    with pytest.raises(rb.ConfigurationError, match=message):
        rb.RegTopK(k=2).load_state_dict(rb.RegTopK(k=2).init(PLACEMENT), regtopk_rows(**changed))


@pytest.mark.parametrize("number", [torch.tensor([1, 2, 1]), torch.tensor([1.0]), INDICES])
def test_a_number_is_the_same_for_all_workers(number: Tensor) -> None:
    rows = {**rows_of(outer()), "number.round": number}
    with pytest.raises(rb.ConfigurationError, match=r"number\.round|the same number"):
        restore(outer(), rows)


GRAD = torch.ones(3, 4, dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rb.RegTopK(k=2).compress(rb.TopK(k=2).init(PLACEMENT), GRAD),
            "RegTopK was given a ErrorFeedback: expected the RegTopKState",
        ),
        (lambda: rb.TopK(k=2).compress(rb.Dense().init(PLACEMENT), GRAD), "was given a State"),
        (lambda: rb.PerLayer(rb.Dense()).compress(rb.Dense().init(PLACEMENT), GRAD), "a State"),
        (lambda: rb.Dense().compress(None, GRAD), "was given a NoneType"),
        (lambda: rb.Dense().compress(rb.Dense().init(PLACEMENT), GRAD[:2]), r"not \(2, 4\)"),
        (lambda: rb.TopK(k=2).init(None), "expected a Placement, not a NoneType"),
        (
            lambda: rb.TopK(k=2).compress(
                rb.TopK(k=2).init(PLACEMENT), GRAD.clone().requires_grad_()
            ),
            "requires gradients: detach it",
        ),
    ],
)
def test_a_state_or_gradients_of_another_kind_are_refused(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(rb.ConfigurationError, match=message):
        call()
