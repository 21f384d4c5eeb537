"""What of a state outlives a change of the gradient's layout."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.sparsify import ErrorFeedback, Sparsifier
from regtopk_bench.sparsify.layout import entries_of, lay, memory_of, numbers_of
from tests.sparsify.test_conformance import Conformance, rows

SHAPES = ((3, 4), (5,), (2, 3))
DIM = 23


def placement() -> rb.Placement:
    return rb.Placement.alone(2, DIM, shapes=SHAPES)


def after_rounds(sparsifier: Sparsifier, rounds: int = 4) -> Any:
    state = sparsifier.init(placement())
    for number in range(rounds):
        grad = torch.randn(2, DIM, generator=torch.Generator().manual_seed(number)).double()
        message = sparsifier.compress(state, grad)
        sparsifier.feedback(state, rb.aggregate(message, state.placement.weights_N))
    return state


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(row, second[name]) for name, row in first.items()
    )


@rows()
@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("k", [1, 5])
def test_a_state_is_its_entries_numbers_and_memory(
    k: int, per_layer: bool, row: Conformance
) -> None:
    sparsifier = rb.PerLayer(row.make(k)) if per_layer else row.make(k)
    state, fresh = after_rounds(sparsifier), sparsifier.init(placement())
    lay(fresh, *map(copy.deepcopy, (entries_of(state), numbers_of(state), memory_of(state))))
    assert same(sparsifier.state_dict(state), sparsifier.state_dict(fresh))


@rows(lambda row: row.conserves and row.sparse)
@pytest.mark.parametrize("k", [2, 5])
def test_another_layout_keeps_the_residual_and_forgets_the_message(
    k: int, row: Conformance
) -> None:
    """From layers to the whole gradient, and to layers again; in one of them k = J."""
    whole, layers = row.make(k), rb.PerLayer(row.make(k))
    before = after_rounds(layers)
    states, fresh = [before], (whole.init(placement()), layers.init(placement()))
    for state, prefix in zip(fresh, ("", "layers."), strict=True):
        entries = {
            f"{prefix}{name.rpartition('.')[2]}": entry
            for name, entry in entries_of(states[-1]).items()
        }
        numbers = {
            f"{prefix}{name.rpartition('.')[2]}": number
            for name, number in numbers_of(states[-1]).items()
        }
        lay(state, entries, numbers)
        states.append(state)
        assert not memory_of(state)
        (residual_NJ,) = entries_of(state).values()
        (residual_before_NJ,) = entries_of(before).values()
        assert torch.equal(residual_NJ, residual_before_NJ)
        assert list(numbers_of(state).values()) == list(numbers_of(before).values())
    grad = torch.ones(2, DIM, dtype=torch.float64)
    message = layers.compress(states[-1], grad)
    rest = torch.cat([layer.residual_NJ for layer in states[-1].layers], dim=1)
    assert torch.equal(message.to_dense() + rest, residual_before_NJ + grad)


@dataclass(kw_only=True)
class Remembering(ErrorFeedback):
    momentum_NJ: Tensor | None = None
    level_N: Tensor | None = None
    rounds: int = 0


@dataclass(frozen=True, kw_only=True)
class FromOutside(rb.TopK):
    State: ClassVar[type[ErrorFeedback]] = Remembering

    def compress(self, state: Any, grad_NJ: Tensor) -> rb.SparseGradient:
        state.momentum_NJ = grad_NJ.clone()
        state.level_N = grad_NJ.amax(dim=1)
        state.rounds += 1
        return super().compress(state, grad_NJ)


def test_undeclared_tensors_of_all_entries_are_kept() -> None:
    state = after_rounds(FromOutside(k=DIM))
    assert set(entries_of(state)) == {"residual_NJ", "momentum_NJ"}
    assert numbers_of(state) == {"rounds": 4}
    assert set(memory_of(state)) == {"level_N"}


def test_what_does_not_fit_is_refused() -> None:
    state = rb.TopK(k=3).init(placement())
    with pytest.raises(rb.ConfigurationError, match='saved "residual_NJ": expected a plain tensor'):
        lay(state, {"residual_NJ": torch.zeros(2, DIM + 1, dtype=torch.float64)}, {})
