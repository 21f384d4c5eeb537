"""A sparsifier as another package would bring it; tests copy this file to where they run."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.sparsify import State

PAUSE = "THRESHOLD_PAUSE"
"""Environment variable with seconds that every round takes longer, to be interrupted in."""


@dataclass(kw_only=True)
class ThresholdState(State):
    """Beside the residual, what each worker remembers of its gradients, and a counter."""

    residual_NJ: Tensor

    level_N: Tensor
    """Moving average of the largest entry."""

    calls: int = 0


@dataclass(frozen=True, kw_only=True)
class Threshold(rb.Sparsifier):
    """Each worker sends what is above a level of its own, and nothing when it rests."""

    splits: ClassVar[bool] = True

    beta: float = 0.5
    """How slowly the level follows, in [0, 1)."""

    rest: int = 3
    """Every so many rounds a worker sends nothing; workers take turns."""

    unit: Literal["largest", "mean"] = "largest"

    def __post_init__(self) -> None:
        if not 0.0 <= self.beta < 1.0:
            raise rb.ConfigurationError(f"beta {self.beta} is not in [0, 1)")

    def init(self, placement: rb.Placement) -> ThresholdState:
        workers, dtype = len(placement.workers), placement.dtype
        return ThresholdState(
            placement=placement,
            residual_NJ=torch.zeros(workers, placement.dim, dtype=dtype),
            level_N=torch.zeros(workers, dtype=dtype),
        )

    def compress(self, state: ThresholdState, grad_NJ: Tensor) -> rb.SparseGradient:
        time.sleep(float(os.environ.get(PAUSE, "0")))
        accumulated_NJ = state.residual_NJ.add_(grad_NJ)
        size_NJ = accumulated_NJ.abs()
        state.level_N.mul_(self.beta).add_(size_NJ.amax(dim=1), alpha=1.0 - self.beta)
        resting_N = (torch.tensor(state.placement.workers) + state.calls) % self.rest == 0
        state.calls += 1
        chosen_NJ = (size_NJ >= 0.7 * state.level_N[:, None]) & ~resting_N[:, None]
        counts_N = chosen_NJ.sum(dim=1)
        first_NJ = chosen_NJ.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        indices_Nk = first_NJ[:, : int(counts_N.max())]
        padding_Nk = torch.arange(indices_Nk.shape[1]) >= counts_N[:, None]
        values_Nk = accumulated_NJ.gather(1, indices_Nk).masked_fill(padding_Nk, 0.0)
        accumulated_NJ.masked_fill_(chosen_NJ, 0.0)
        indices_Nk = indices_Nk.masked_fill(padding_Nk, 0)
        return rb.SparseGradient(indices_Nk, values_Nk, grad_NJ.shape[1], counts_N)
