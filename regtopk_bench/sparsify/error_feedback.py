"""The residual that a worker keeps: what it did not send now, it adds next round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.sparsify.base import Alone, Peers, SparseGradient, Sparsifier
from regtopk_bench.sparsify.density import Budget


@dataclass
class ErrorFeedback:
    """State of a sparsifier with error feedback; those with more to remember extend it."""

    residual_NJ: Tensor
    """ε, what each worker has kept back so far."""

    k: int
    """Entries per message."""

    weights_N: Tensor
    """ω, the share of each worker in the aggregate."""

    peers: Peers
    """The way to the workers of other processes."""

    guesses: list[kernels.Guess]
    """What each worker remembers of its thresholds; it makes a step fast, not different."""

    def step(
        self, grad_NJ: Tensor, corrected_Nk: Tensor | None = None, factors_Nk: Tensor | None = None
    ) -> SparseGradient:
        """Send the k largest scores |a| of a = ε + g: see `regtopk_bench.kernels.step`."""
        self._check(grad_NJ)
        indices_Nk, values_Nk = kernels.step(
            self.residual_NJ, grad_NJ, self.k, corrected_Nk, factors_Nk, self.guesses
        )
        return SparseGradient(indices_Nk, values_Nk, dim=self.residual_NJ.shape[1])

    def accumulate(self, grad_NJ: Tensor) -> Tensor:
        """Return a = ε + g, (N, J), which stays the residual until `take` is called."""
        self._check(grad_NJ)
        self.residual_NJ.add_(grad_NJ)
        kernels.check_finite(self.residual_NJ)
        return self.residual_NJ

    def take(self, indices_Nk: Tensor) -> SparseGradient:
        """Send the entries of a at these indices and keep the rest as residual."""
        values_Nk = self.residual_NJ.gather(1, indices_Nk)
        self.residual_NJ.scatter_(1, indices_Nk, 0.0)
        return SparseGradient(indices_Nk, values_Nk, dim=self.residual_NJ.shape[1])

    def _check(self, grad_NJ: Tensor) -> None:
        expected = self.residual_NJ
        if grad_NJ.shape != expected.shape or grad_NJ.dtype != expected.dtype:
            raise ConfigurationError(
                f"gradients are {tuple(grad_NJ.shape)} {grad_NJ.dtype}, but this state was made "
                f"for {tuple(expected.shape)} {expected.dtype}"
            )


class ErrorFeedbackSparsifier(Budget, Sparsifier):
    """A sparsifier that sends k entries and keeps the others as residual."""

    splits: ClassVar[bool] = True

    State: ClassVar[type[ErrorFeedback]] = ErrorFeedback
    """What `init` makes; its fields beyond `ErrorFeedback`'s have defaults."""

    def init(
        self,
        workers: int,
        dim: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        weights: Tensor | None = None,
        peers: Peers | None = None,
    ) -> Any:
        """Return the state before the first round, with an empty residual."""
        if weights is None:
            weights = torch.full((workers,), 1.0 / workers, dtype=torch.float64)
        return self.State(
            residual_NJ=torch.zeros(workers, dim, dtype=dtype, device=device),
            k=self.entries(dim),
            weights_N=weights.to(dtype=dtype, device=device),
            peers=peers or Alone(),
            guesses=[kernels.Guess() for _ in range(workers)],
        )

    def state_dict(self, state: Any) -> dict[str, Tensor]:
        """Return the residual. Thresholds remembered make a step fast, not different."""
        return {"residual": state.residual_NJ}

    def load_state_dict(self, state: Any, rows: Mapping[str, Tensor]) -> None:
        """See `Sparsifier.load_state_dict`."""
        state.residual_NJ.copy_(rows["residual"])
