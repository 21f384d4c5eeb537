from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.messages import Concatenated, Encoding
from regtopk_bench.sparsify import PerLayer, State

SHAPES = ((7,), (1,), (3, 4))
DIMS = (7, 1, 12)


def placement(workers: int) -> rb.Placement:
    return rb.Placement.alone(workers, sum(DIMS), shapes=SHAPES)


@pytest.mark.parametrize(
    "inner", [rb.TopK(density=0.3), rb.RegTopK(density=0.3, mu=1.0), rb.RandomK(density=0.3)]
)
def test_each_layer_is_sparsified_by_itself(inner: rb.Sparsifier) -> None:
    grads = torch.randn(4, 3, sum(DIMS), dtype=torch.float64)
    weights = torch.full((3,), 1 / 3, dtype=torch.float64)
    whole = PerLayer(inner)
    state = whole.init(placement(3))
    alone = [inner.init(layer) for layer in placement(3).layers()]
    for grad in grads:
        message = whole.compress(state, grad)
        parts = [
            inner.compress(own, part.contiguous())
            for own, part in zip(alone, grad.split(DIMS, dim=1), strict=True)
        ]
        assert isinstance(message, Concatenated)
        for ours, theirs in zip(message.parts, parts, strict=True):
            assert torch.equal(ours.to_dense(), theirs.to_dense())
        assert message.dim == sum(DIMS)
        assert list(message.bytes_N(Encoding.COORDINATES)) == [2 * 12 + 1 * 8 + 3 * 12] * 3
        aggregate = rb.aggregate(message, weights)
        assert torch.equal(aggregate, torch.cat([rb.aggregate(part, weights) for part in parts]))
        whole.feedback(state, aggregate)
        for own, part in zip(alone, parts, strict=True):
            inner.feedback(own, rb.aggregate(part, weights))


@dataclass(frozen=True)
class Above(rb.Sparsifier):
    """Sends what is above a threshold: another number of entries from each worker."""

    threshold: float

    def init(self, placement: rb.Placement) -> State:
        return State(placement=placement)

    def compress(self, state: State, grad_NJ: Tensor) -> rb.SparseGradient:
        counts_N = (grad_NJ > self.threshold).sum(dim=1)
        longest = int(counts_N.max())
        indices, values = (
            torch.zeros(len(grad_NJ), longest, dtype=dtype)
            for dtype in (torch.int64, grad_NJ.dtype)
        )
        for row, grad in enumerate(grad_NJ):
            (found,) = (grad > self.threshold).nonzero(as_tuple=True)
            indices[row, : len(found)], values[row, : len(found)] = found, grad[found]
        return rb.SparseGradient(indices, values, grad_NJ.shape[1], counts_N)


def test_layers_may_send_different_numbers_of_entries() -> None:
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(5, sum(DIMS), generator=generator, dtype=torch.float64)
    grad[2] = -1.0  # a worker that sends nothing at all
    sparsifier = PerLayer(Above(0.5))
    message = sparsifier.compress(sparsifier.init(placement(5)), grad)
    assert torch.equal(message.to_dense(), torch.where(grad > 0.5, grad, 0.0))
    nothing = 2  # a byte says of each layer but the last how long its part is
    assert message.bytes_N(Encoding.COORDINATES)[2] == nothing


class WithEmptyLayers(rb.LogisticToy):
    """Two of its layers have no entries."""

    shapes = ((0,), (2,), (3, 0))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    "inner", [rb.Dense(), rb.TopK(k=1), rb.RegTopK(k=1), rb.RandomK(k=1), rb.Oracle(k=1)]
)
def test_layers_without_entries_train_and_cost_nothing(
    inner: rb.Sparsifier, processes: int, tmp_path: Path
) -> None:
    def train(**options: Any) -> rb.Trace:
        return rb.simulate(
            WithEmptyLayers(), PerLayer(inner), rounds=6, learning_rate=0.5, **options
        )

    trace, checkpoints = train(processes=processes), rb.Checkpoints(tmp_path, 2)
    train(checkpoints=checkpoints, on_round=lambda info: info.round == 5)
    assert np.array_equal(train(checkpoints=checkpoints)["loss"], trace["loss"])
    assert np.isfinite(trace["loss"]).all()
    each = 2 * 8 if isinstance(inner, rb.Dense) else 4 + 8
    assert trace.bytes_sent.uplink.tolist() == [2 * each] * 6


def test_a_gradient_without_any_entries_is_refused() -> None:
    with pytest.raises(rb.ConfigurationError, match="there is nothing to train: J is 0"):
        dataclasses.replace(placement(1), shapes=((0,), (3, 0)))
    with pytest.raises(rb.ConfigurationError, match="entries of a gradient 0 is not at least 1"):
        rb.TopK(density=0.5).entries(0)
