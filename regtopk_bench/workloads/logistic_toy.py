"""The motivational example of the paper: two workers whose gradients cancel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.workloads.base import Workload, by_blocks, equal_weights


class LogisticToy(Workload):
    """Logistic loss f_n(θ) = log(1 + exp(-x_nᵀθ)) of one point per worker.

    With x = (±100, 1) the first entry of the gradients is large and cancels, the second
    is small and agrees: Top-k with k = 1 sends only the first for a long time.

    Metrics: `loss` = Σ ω_n f_n(θ).
    """

    workers = 2
    dim = 2
    dtype = torch.float64

    def __init__(self) -> None:
        """Place the two points."""
        self.weights_N = equal_weights(2)
        self._points_NJ = torch.tensor([[100.0, 1.0], [-100.0, 1.0]], dtype=torch.float64)

    def initial_parameters(self, seed: int) -> Tensor:
        """Return θ⁰ = (0, 1), whatever the seed."""
        return torch.tensor([0.0, 1.0], dtype=torch.float64)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return g_n = -x_n / (1 + exp(x_nᵀθ)), (n, 2)."""
        points = self._points_NJ[workers.start : workers.stop]
        margins = (points * parameters_J).sum(dim=1, keepdim=True)
        return -points * torch.sigmoid(-margins)

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """Return `loss` of each parameter vector, (T,)."""
        return {"loss": by_blocks(self._loss, parameters_TJ.numpy())}

    def _loss(self, parameters_TJ: NDArray[np.float64]) -> NDArray[np.float64]:
        margins_TN = torch.from_numpy(parameters_TJ) @ self._points_NJ.T
        return torch.nn.functional.softplus(-margins_TN).mean(dim=1).numpy()
