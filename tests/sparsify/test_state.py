"""What a state saves follows from its fields."""

from __future__ import annotations

from dataclasses import dataclass

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
