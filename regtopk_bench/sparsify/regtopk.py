"""RegTop-k (arXiv 2501.05633): Top-k whose scores know what became of the last message.

The paper's full text was not at hand; the equations below are those that the authors'
published code computes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels import gather_ratio
from regtopk_bench.sparsify.base import SparseGradient
from regtopk_bench.sparsify.error_feedback import ErrorFeedback, ErrorFeedbackSparsifier


@dataclass
class RegTopKState(ErrorFeedback):
    """Beside the residual: the k entries sent last, and what the aggregate made of them."""

    sent: SparseGradient | None = None
    """I^{t-1} and a^{t-1}[I^{t-1}]; None before the first round."""

    factors_Nk: Tensor | None = None
    """What the scores at I^{t-1} are multiplied by (denominator "previous")."""

    distortion_Nk: Tensor | None = None
    """g^{t-1} - ω a^{t-1} at I^{t-1}, not yet divided (denominator "current")."""


@dataclass(frozen=True, kw_only=True)
class RegTopK(ErrorFeedbackSparsifier):
    """Top-k of |a_n| · tanh(|1 + Δ_n| / μ), with Δ_n the posterior distortion.

    Where worker n sent in the last round, j in I_n^{t-1},

        Δ_n[j] = (g^{t-1}[j] - ω_n a_n^{t-1}[j]) / (ω_n a_n[j])

    and Δ_n[j] = Q elsewhere, which makes the factor there tanh((1 + Q)/μ) = 1. An entry
    that the other workers cancelled has 1 + Δ near 0 and loses its place to others, so
    only k scores differ from Top-k's and scoring costs O(k). An entry sent as exactly 0 says
    nothing about the others: its factor is 1.
    """

    State: ClassVar[type[ErrorFeedback]] = RegTopKState

    mu: float
    """μ > 0, the temperature. Towards 0 every factor is 1 and this is Top-k; a large μ
    holds back every entry that was sent in the last round, cancelled or not."""

    q: float = 1e8
    """Q, the distortion assumed where nothing was sent; large, so that the factor is 1."""

    denominator: Literal["previous", "current"] = "previous"
    """Which a_n[j] divides in Δ: a^{t-1}, as in the authors' linear regression and ResNet
    code, or a^t, as in their fine-tuning notebook."""

    def __post_init__(self) -> None:
        """Refuse values for which the scores are not defined."""
        super().__post_init__()
        if not (self.mu > 0.0 and math.isfinite(self.mu)):
            raise ConfigurationError(f"mu {self.mu} is not a finite number above 0")
        if not (self.q > 0.0 and math.isfinite(self.q)):
            raise ConfigurationError(f"q {self.q} is not a finite number above 0")
        if self.denominator not in ("previous", "current"):
            raise ConfigurationError(
                f'denominator "{self.denominator}" is neither "previous" nor "current"'
            )

    def compress(self, state: RegTopKState, grad_NJ: Tensor) -> SparseGradient:
        """Send the k largest regularized scores; in the first round, the k largest |a|."""
        if state.sent is None:
            state.sent = state.step(grad_NJ)
            return state.sent
        last = state.sent.indices
        factors_Nk = state.factors_Nk
        if factors_Nk is None:
            assert state.distortion_Nk is not None, "feedback was not called"
            current_Nk = state.residual_NJ.gather(1, last) + grad_NJ.gather(1, last)
            delta_Nk = state.distortion_Nk / (state.weights_N[:, None] * current_Nk)
            ratio_Nk = (1.0 + delta_Nk).abs_().div_(self.mu)
            # Where a is 0 now, so is the score, and any finite factor will do.
            factors_Nk = self._factors(ratio_Nk).nan_to_num_(nan=1.0)
        state.sent = state.step(grad_NJ, last, factors_Nk)
        return state.sent

    def feedback(self, state: RegTopKState, aggregate_J: Tensor) -> None:
        """Compare the aggregate with what each worker put into it, at the entries it sent."""
        assert state.sent is not None, "compress was not called"
        indices_Nk, sent_Nk, share_N = state.sent.indices, state.sent.values, state.weights_N
        if self.denominator == "previous":  # 1 + (g - ωa)/(ωa) = g/(ωa)
            ratio_Nk = gather_ratio(aggregate_J, indices_Nk, sent_Nk, share_N, self.mu)
            state.factors_Nk = self._factors(ratio_Nk)
        else:
            state.distortion_Nk = aggregate_J.take(indices_Nk) - sent_Nk * share_N[:, None]

    def state_dict(self, state: RegTopKState) -> dict[str, Tensor]:
        """Return the residual, what was sent last, and what the aggregate made of it."""
        rows = super().state_dict(state)
        if state.sent is not None:
            rows |= {"indices": state.sent.indices, "values": state.sent.values}
        optional = {"factors": state.factors_Nk, "distortion": state.distortion_Nk}
        return rows | {name: value for name, value in optional.items() if value is not None}

    def load_state_dict(self, state: RegTopKState, rows: Mapping[str, Tensor]) -> None:
        """See `Sparsifier.load_state_dict`."""
        super().load_state_dict(state, rows)
        if "indices" in rows:
            dim = state.residual_NJ.shape[1]
            state.sent = SparseGradient(rows["indices"], rows["values"], dim)
        state.factors_Nk, state.distortion_Nk = rows.get("factors"), rows.get("distortion")

    def _factors(self, ratio_Nk: Tensor) -> Tensor:
        """Return tanh(|1 + Δ|/μ) given |1 + Δ|/μ, relative to the constant elsewhere."""
        factors_Nk = ratio_Nk.tanh_()
        elsewhere = math.tanh((1.0 + self.q) / self.mu)
        return factors_Nk if elsewhere == 1.0 else factors_Nk.div_(elsewhere)
