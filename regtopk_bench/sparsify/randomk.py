"""Random-k: all workers send the same k entries, drawn anew every round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.sparsify.base import SparseGradient
from regtopk_bench.sparsify.error_feedback import ErrorFeedback, ErrorFeedbackSparsifier


@dataclass
class RandomKState(ErrorFeedback):
    """Beside the residual: the number of the round, which seeds its draw."""

    round: int = 0


@dataclass(frozen=True, kw_only=True)
class RandomK(ErrorFeedbackSparsifier):
    """Each round draws k of the J indices without replacement, the same for all workers.

    The draw depends on the seed and the round only, so that workers agree on it without a
    word: any process makes the same one.
    """

    State: ClassVar[type[ErrorFeedback]] = RandomKState

    seed: int = 0
    """Seed of the draws, at least 0."""

    error_feedback: bool = True
    """True: what is not sent is kept as residual. False: it is dropped, and what is sent
    is scaled by J/k to stay unbiased. The two are never combined: scaling what the
    residual will send again diverges."""

    def __post_init__(self) -> None:
        """Refuse a seed that the generator does not take."""
        super().__post_init__()
        if self.seed < 0:
            raise ConfigurationError(f"seed {self.seed} is below 0")

    def compress(self, state: RandomKState, grad_NJ: Tensor) -> SparseGradient:
        """Send the entries drawn for this round."""
        accumulated_NJ = state.accumulate(grad_NJ)
        workers, dim = accumulated_NJ.shape
        draw = np.random.default_rng([self.seed, state.round])
        drawn_k = torch.from_numpy(draw.choice(dim, state.k, replace=False, shuffle=False))
        drawn_k = drawn_k.sort().values.to(grad_NJ.device)
        state.round += 1
        message = state.take(drawn_k.expand(workers, state.k))
        if not self.error_feedback:
            state.residual_NJ.zero_()
            message.values.mul_(dim / state.k)
        return message

    def state_dict(self, state: RandomKState) -> dict[str, Tensor]:
        """Return the residual and the number of the round."""
        workers = len(state.residual_NJ)
        return super().state_dict(state) | {"round": torch.full((workers,), state.round)}

    def load_state_dict(self, state: RandomKState, rows: Mapping[str, Tensor]) -> None:
        """See `Sparsifier.load_state_dict`."""
        super().load_state_dict(state, rows)
        state.round = int(rows["round"][0])
