"""A sparsifier of one's own, to be compared and gated by regtopk-bench."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from regtopk_bench import ConfigurationError, SparseGradient
from regtopk_bench.sparsify import ErrorFeedback, ErrorFeedbackSparsifier

__all__ = ["Cyclic"]


@dataclass(kw_only=True)
class CyclicState(ErrorFeedback):
    """Besides the residual: where the next block begins."""

    start: int = 0


@dataclass(frozen=True, kw_only=True)
class Cyclic(ErrorFeedbackSparsifier):
    """All workers send the same block of k entries, and the block moves on every round."""

    State: ClassVar[type[ErrorFeedback]] = CyclicState

    stride: float = 1.0
    """How far the block moves, in blocks: with 1 every entry is sent once before any is again."""

    def __post_init__(self) -> None:
        """Validate ranges."""
        super().__post_init__()
        if not 0.0 < self.stride <= 1.0:
            raise ConfigurationError(f"stride {self.stride} is not above 0 and at most 1")

    def compress(self, state: CyclicState, grad_NJ: Tensor) -> SparseGradient:
        """Send the block, and keep all else as residual."""
        workers, dim = state.accumulate(grad_NJ).shape
        block_k = (state.start + torch.arange(state.k, device=grad_NJ.device)) % dim
        state.start = (state.start + max(1, round(self.stride * state.k))) % dim
        return state.take(block_k.sort().values.expand(workers, state.k))
