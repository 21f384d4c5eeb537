"""Random-k: all workers send the same k entries, redrawn every round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from regtopk_bench.arguments import whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import SparseGradient
from regtopk_bench.sparsify.error_feedback import ErrorFeedback, ErrorFeedbackSparsifier
from regtopk_bench.sparsify.state import own


@dataclass(kw_only=True)
class RandomKState(ErrorFeedback):
    """Besides the residual: the round's number, which seeds its draw."""

    round: int = 0

    def check(self) -> None:
        """See `State.check`."""
        super().check()
        whole(self.round, "round of a saved state")


@dataclass(frozen=True, kw_only=True)
class RandomK(ErrorFeedbackSparsifier):
    """Each round draws k of the J indices without replacement, the same for all workers.

    The draw depends only on the placement's seed and the round, so workers agree on it without
    communicating: every process makes the same one.
    """

    State: ClassVar[type[ErrorFeedback]] = RandomKState
    summable: ClassVar[bool] = True

    error_feedback: bool = True
    """True: what is not sent is kept as residual. False: it is dropped, and what is sent
    is scaled by J/k to stay unbiased. The two are never combined: scaling what the
    residual will send again diverges."""

    def __post_init__(self) -> None:
        """Validate the combination."""
        super().__post_init__()
        if self.values is not None and not self.error_feedback:
            raise ConfigurationError(
                f"values={self.values} without error_feedback: what rounding takes away is lost"
            )

    def compress(self, state: RandomKState, grad_NJ: Tensor) -> SparseGradient:
        """Send the entries drawn for this round."""
        accumulated_NJ = own(state, RandomKState, self).accumulate(grad_NJ)
        workers, dim = accumulated_NJ.shape
        draw = state.placement.generator(state.round)
        drawn_k = torch.from_numpy(draw.choice(dim, state.k, replace=False, shuffle=False))
        drawn_k = drawn_k.sort().values.to(grad_NJ.device)
        state.round += 1
        message = state.take(drawn_k.expand(workers, state.k), trusted=True)
        if not self.error_feedback:
            state.residual_NJ.zero_()
            message.values.mul_(dim / state.k)
        return message
