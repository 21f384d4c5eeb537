"""RegTop-k (arXiv 2501.05633): Top-k whose scores account for what became of the last message.

The paper's full text was not at hand; the equations below are those that the authors'
published code computes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.arguments import is_real, shown
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import SparseGradient
from regtopk_bench.sparsify.error_feedback import ErrorFeedback, ErrorFeedbackSparsifier
from regtopk_bench.sparsify.placement import Placement
from regtopk_bench.sparsify.state import own, restarting


@dataclass(kw_only=True)
class RegTopKState(ErrorFeedback):
    """Besides the residual: the k entries sent last, and what was received there."""

    sent_indices_Nk: Tensor | None = restarting(default=None)
    """I^{t-1}; None before the first round."""

    sent_values_Nk: Tensor | None = restarting(default=None)
    """a^{t-1} at I^{t-1}."""

    received_Nk: Tensor | None = restarting(default=None)
    """g^{t-1} at I^{t-1}; None until the feedback of a round."""

    def check(self) -> None:
        """See `State.check`: indices must be those of a message, where values are read later."""
        super().check()
        sent, received = (self.sent_indices_Nk, self.sent_values_Nk), self.received_Nk
        if sent[0] is None or sent[1] is None:
            if sent != (None, None) or received is not None:
                raise ConfigurationError("a saved state has only some of what was sent last")
            return
        placement, shape = self.placement, (len(self.residual_NJ), self.k)
        kernels.check_tensor(sent[0], "sent_indices_Nk", shape, torch.int64, placement.device)
        for name, values_Nk in (("sent_values_Nk", sent[1]), ("received_Nk", received)):
            if values_Nk is not None:
                kernels.check_tensor(values_Nk, name, shape, placement.dtype, placement.device)
        kernels.check_ascending(sent[0], placement.dim)
        if not bool(sent[1].isfinite().all()):
            raise ConfigurationError("saved sent_values_Nk are not finite: they are damaged")


@dataclass(frozen=True, kw_only=True)
class RegTopK(ErrorFeedbackSparsifier):
    """Top-k of |a_n| · tanh(|1 + Δ_n| / μ), with Δ_n the posterior distortion.

    Where worker n sent in the last round, j in I_n^{t-1},

        Δ_n[j] = (g^{t-1}[j] - ω_n a_n^{t-1}[j]) / (ω_n a_n[j])

    and Δ_n[j] = Q elsewhere, which makes the factor there tanh((1 + Q)/μ) = 1. An entry
    that the other workers cancelled has 1 + Δ near 0 and loses its place to others, so
    only k scores differ from Top-k's and scoring costs O(k).
    """

    State: ClassVar[type[ErrorFeedback]] = RegTopKState

    mu: float = 4.0
    """μ > 0, the temperature. Towards 0 every factor is 1 and this is Top-k; a large μ
    holds back every entry that was sent in the last round, cancelled or not. The authors use 4
    in linear regression, 5 with ResNet-18 and 2 for fine-tuning."""

    q: float = 1e8
    """Q, the distortion assumed where nothing was sent; large enough to make the factor 1."""

    denominator: Literal["previous", "current"] = "previous"
    """Which a_n[j] divides in Δ: a^{t-1}, as in the authors' linear regression and ResNet
    code, or a^t, as in their fine-tuning notebook. Where the previous one is 0, it says nothing
    about the other workers, and the factor is 1; where the current one is 0, so is the score."""

    def __post_init__(self) -> None:
        """Validate ranges."""
        super().__post_init__()
        for name in ("mu", "q"):
            value = getattr(self, name)
            if not (is_real(value) and value > 0.0):
                raise ConfigurationError(f"{name} {shown(value)} is not a finite number above 0")
        if self.denominator not in ("previous", "current"):
            raise ConfigurationError(
                f'denominator {shown(self.denominator)} is neither "previous" nor "current"'
            )

    def init(self, placement: Placement) -> Any:
        """See `Sparsifier.init`."""
        state = super().init(placement)
        kernels.check_divisor(self.mu, "mu", placement.dtype)
        return state

    def compress(self, state: RegTopKState, grad_NJ: Tensor) -> SparseGradient:
        """Send the k largest regularized scores; in the first round, the k largest |a|."""
        last = own(state, RegTopKState, self).sent_indices_Nk
        factors_Nk = None if last is None else self._factors(state, grad_NJ)
        message = state.step(grad_NJ, last, factors_Nk)
        state.sent_indices_Nk, state.sent_values_Nk = message.indices, message.values
        state.received_Nk = None
        return message

    def feedback(self, state: RegTopKState, aggregate_J: Tensor) -> None:
        """Note the aggregate at the entries that each worker has sent."""
        sent_indices_Nk = own(state, RegTopKState, self).sent_indices_Nk
        if sent_indices_Nk is None:
            raise ConfigurationError("feedback before the first compress: there is no message yet")
        if state.received_Nk is not None:
            raise ConfigurationError("feedback was called twice after the last compress")
        state.placement.check_aggregate(aggregate_J)
        state.received_Nk = kernels.unchecked(aggregate_J).gather(aggregate_J, sent_indices_Nk)

    def _factors(self, state: RegTopKState, grad_NJ: Tensor) -> Tensor:
        """Return tanh(|1 + Δ|/μ) at the entries sent last, relative to the constant elsewhere."""
        sent_Nk, received_Nk = state.sent_values_Nk, state.received_Nk
        indices_Nk, share_N = state.sent_indices_Nk, state.placement.weights_N
        if sent_Nk is None or indices_Nk is None or received_Nk is None:
            raise ConfigurationError("feedback was not called after the last compress")
        if self.denominator == "previous":  # 1 + (g - ωa)/(ωa) = g/(ωa)
            compute = kernels.unchecked(sent_Nk)
            factors_Nk = compute.ratio(received_Nk, sent_Nk, share_N, self.mu).tanh_()
        else:
            state.placement.check_gradients(grad_NJ)  # the step checks it too late
            current_Nk = state.residual_NJ.gather(1, indices_Nk) + grad_NJ.gather(1, indices_Nk)
            share_N1 = share_N[:, None]
            divisor_Nk = share_N1 * current_Nk
            delta_Nk = (received_Nk - sent_Nk * share_N1) / divisor_Nk
            factors_Nk = (1.0 + delta_Nk).abs_().div_(self.mu).tanh_()
            factors_Nk.masked_fill_(divisor_Nk == 0.0, 1.0)
        elsewhere = math.tanh((1.0 + self.q) / self.mu)
        return factors_Nk if elsewhere == 1.0 else factors_Nk.div_(elsewhere)
