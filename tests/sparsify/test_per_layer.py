from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.sparsify import PerLayer

DIMS = (7, 1, 12)


@pytest.mark.parametrize(
    "inner", [rb.TopK(density=0.3), rb.RegTopK(density=0.3, mu=1.0), rb.RandomK(density=0.3)]
)
def test_each_layer_is_sparsified_by_itself(inner: rb.Sparsifier) -> None:
    grads = torch.randn(4, 3, sum(DIMS), dtype=torch.float64)
    weights = torch.full((3,), 1 / 3, dtype=torch.float64)
    whole = PerLayer(inner, DIMS)
    state = whole.init(3, sum(DIMS))
    alone = [inner.init(3, dim) for dim in DIMS]
    for grad in grads:
        message = whole.compress(state, grad)
        parts = [
            inner.compress(own, part)
            for own, part in zip(alone, grad.split(DIMS, dim=1), strict=True)
        ]
        shifted = [part.indices + before for part, before in zip(parts, (0, 7, 8), strict=True)]
        assert torch.equal(message.indices, torch.cat(shifted, dim=1))
        assert torch.equal(message.values, torch.cat([part.values for part in parts], dim=1))
        assert message.indices.shape[1] == 2 + 1 + 3
        assert message.dim == sum(DIMS)
        whole.feedback(state, rb.aggregate(message, weights))
        for own, part in zip(alone, parts, strict=True):
            inner.feedback(own, rb.aggregate(part, weights))


@dataclass(frozen=True)
class Above(rb.Sparsifier):
    """Sends what is above a threshold: another number of entries from each worker."""

    threshold: float

    def init(self, workers: int, dim: int, *_: Any, **__: Any) -> None:
        return None

    def compress(self, state: None, grad_NJ: Tensor) -> rb.SparseGradient:
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


def test_messages_of_different_lengths_are_put_together() -> None:
    grad = torch.randn(5, sum(DIMS), generator=torch.Generator().manual_seed(1))
    grad[2] = -1.0  # a worker that sends nothing at all
    sparsifier = PerLayer(Above(0.5), DIMS)
    message = sparsifier.compress(sparsifier.init(5, sum(DIMS)), grad)
    direct = Above(0.5).compress(None, grad)
    for ours, theirs in zip(message, direct, strict=True):
        assert torch.equal(torch.as_tensor(ours), torch.as_tensor(theirs))


def test_layers_have_to_add_up() -> None:
    with pytest.raises(rb.ConfigurationError, match="the layers have 20 parameters, the gradient"):
        PerLayer(rb.TopK(k=1), DIMS).init(2, 21)


def test_a_sparsifier_without_state_dict_says_so() -> None:
    with pytest.raises(rb.ConfigurationError, match="Above cannot be saved and resumed"):
        Above(0.1).state_dict(None)
    with pytest.raises(rb.ConfigurationError, match="Above cannot be saved and resumed"):
        Above(0.1).load_state_dict(None, {})
