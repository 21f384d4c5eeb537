"""The residual that a worker keeps: what it does not send now, it adds next round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import SparseGradient
from regtopk_bench.sparsify.base import Sparsifier
from regtopk_bench.sparsify.density import Budget
from regtopk_bench.sparsify.placement import Placement, check_placement
from regtopk_bench.sparsify.state import State, unsaved


@dataclass(kw_only=True)
class ErrorFeedback(State):
    """State of a sparsifier with error feedback; those with more state extend it."""

    residual_NJ: Tensor
    """ε, what each worker has not sent so far."""

    k: int = unsaved()
    """Entries per message."""

    messages: tuple[SparseGradient, SparseGradient] = unsaved()
    """Buffers for this round's message and the last one's, used in turn: memory that has been
    written before is written faster."""

    guesses: list[kernels.Guess] = unsaved()
    """What each worker remembers about its thresholds; it affects only a step's speed."""

    sent_as: torch.dtype = unsaved()
    """The dtype in which values travel."""

    def step(
        self, grad_NJ: Tensor, corrected_Nk: Tensor | None = None, factors_Nk: Tensor | None = None
    ) -> SparseGradient:
        """Send the k largest scores |a| of a = ε + g: see `regtopk_bench.kernels.step`."""
        self.placement.check_gradients(grad_NJ)
        last, message = self.messages
        self.messages = message, last
        out, residual_NJ = (message.indices, message.values), self.residual_NJ
        kernels.unchecked(residual_NJ).step(
            residual_NJ, grad_NJ, self.k, corrected_Nk, factors_Nk, self.guesses, out
        )
        self._round(message)
        return message

    def accumulate(self, grad_NJ: Tensor) -> Tensor:
        """Return a = ε + g, (N, J), which remains the residual until `take` is called."""
        self.placement.check_gradients(grad_NJ)
        self.residual_NJ.add_(grad_NJ)
        kernels.check_finite(self.residual_NJ)
        return self.residual_NJ

    def take(self, indices_Nk: Tensor, *, trusted: bool = False) -> SparseGradient:
        """Send the entries of a at these indices and keep the rest as residual.

        Args:
            indices_Nk: Distinct and ascending in each row, int64.
            trusted: Whether they are known to be so, and need not be checked.

        Raises:
            ConfigurationError: If they are not.
        """
        workers, dim = self.residual_NJ.shape
        if not trusted:
            kernels.check_indices(indices_Nk, workers, self.placement.device)
            kernels.check_ascending(indices_Nk, dim)
        values_Nk = self.residual_NJ.gather(1, indices_Nk)
        self.residual_NJ.scatter_(1, indices_Nk, 0.0)
        message = SparseGradient(indices_Nk, values_Nk, dim, sent_as=self.sent_as, trusted=True)
        self._round(message)
        return message

    def _round(self, message: SparseGradient) -> None:
        """Round what is sent to the dtype in which it travels, and keep what rounding takes away.

        The difference of a number and its nearest in fewer bits is exact, and so is their sum:
        residual and message still add up to what was accumulated.
        """
        if message.sent_as == message.values.dtype:
            return
        largest = torch.finfo(message.sent_as).max  # a larger value stays finite, and partly here
        rounded_Nk = message.values.clamp(-largest, largest).to(message.sent_as)
        self.residual_NJ.scatter_(1, message.indices, message.values - rounded_Nk)
        message.values.copy_(rounded_Nk)

    def check(self) -> None:
        """See `State.check`."""
        if not bool(self.residual_NJ.isfinite().all()):
            raise ConfigurationError("a saved residual is not finite: it is damaged")


@dataclass(frozen=True, kw_only=True)
class ErrorFeedbackSparsifier(Budget, Sparsifier):
    """A sparsifier that sends k entries and keeps the others as residual."""

    splits: ClassVar[bool] = True

    values: Literal["bfloat16"] | None = None
    """The dtype that values are rounded to before they are sent, the gradient's own if None. What
    rounding takes away stays in the residual: nothing is lost, and a value takes two bytes. Values
    that take no more anyway are sent as they are."""

    State: ClassVar[type[ErrorFeedback]] = ErrorFeedback
    """What `init` makes; its fields beyond `ErrorFeedback`'s have defaults."""

    def __post_init__(self) -> None:
        """Validate the dtype."""
        super().__post_init__()
        if self.values not in (None, "bfloat16"):
            raise ConfigurationError(f'values {shown(self.values)} are neither "bfloat16" nor None')

    def init(self, placement: Placement) -> Any:
        """Return the state before the first round, with an empty residual."""
        check_placement(placement)
        shorter = self.values == "bfloat16" and placement.dtype.itemsize > torch.bfloat16.itemsize
        sent_as = torch.bfloat16 if shorter else placement.dtype
        (workers, dim), k = placement.gradients_shape, self.entries(placement.dim)
        like: dict[str, Any] = {"dtype": placement.dtype, "device": placement.device}
        first_k = torch.arange(k, device=placement.device)
        room = [
            SparseGradient(
                first_k.repeat(workers, 1), torch.zeros(workers, k, **like), dim, sent_as=sent_as
            )
            for _ in range(2)
        ]
        return self.State(
            placement=placement,
            residual_NJ=torch.zeros(workers, dim, **like),
            k=k,
            messages=(room[0], room[1]),
            guesses=[kernels.Guess() for _ in range(workers)],
            sent_as=sent_as,
        )
