"""No sparsification: every worker sends its whole gradient, the baseline of all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from regtopk_bench.kernels import check_finite
from regtopk_bench.sparsify.base import Peers, SparseGradient, Sparsifier


@dataclass
class DenseState:
    """What does not change: a dense worker keeps nothing back."""

    residual_NJ: Tensor
    """Zero, without memory of its own."""

    indices_NJ: Tensor
    """0, 1, …, J-1 for every worker, one row of memory."""


@dataclass(frozen=True)
class Dense(Sparsifier):
    """Sends all J entries: g = Σ ω_n g_n."""

    def init(
        self,
        workers: int,
        dim: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        weights: Tensor | None = None,
        peers: Peers | None = None,
    ) -> DenseState:
        """See `Sparsifier.init`."""
        return DenseState(
            residual_NJ=torch.zeros(1, 1, dtype=dtype, device=device).expand(workers, dim),
            indices_NJ=torch.arange(dim, device=device).expand(workers, dim),
        )

    def compress(self, state: DenseState, grad_NJ: Tensor) -> SparseGradient:
        """Send the gradients as they are."""
        check_finite(grad_NJ)
        return SparseGradient(state.indices_NJ, grad_NJ, dim=grad_NJ.shape[1])

    def state_dict(self, state: DenseState) -> dict[str, Tensor]:
        """Return nothing: no round depends on those before it."""
        return {}

    def load_state_dict(self, state: DenseState, rows: Mapping[str, Tensor]) -> None:
        """See `Sparsifier.load_state_dict`."""
