"""Global Top-k: the selection of a genie that sees every worker's gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.messages import SparseGradient
from regtopk_bench.sparsify.error_feedback import ErrorFeedback, ErrorFeedbackSparsifier
from regtopk_bench.sparsify.state import own


@dataclass(frozen=True, kw_only=True)
class Oracle(ErrorFeedbackSparsifier):
    """All workers send the same entries: the top-k of |Σ ω_n a_n|.

    An upper bound, not a method: to know that sum the workers would have to exchange
    their whole gradients first. Those bytes are counted, as coordination.
    """

    splits: ClassVar[bool] = False
    summable: ClassVar[bool] = True

    def compress(self, state: ErrorFeedback, grad_NJ: Tensor) -> SparseGradient:
        """Send the largest entries of the mean of all accumulated gradients."""
        accumulated_NJ, placement = (
            own(state, ErrorFeedback, self).accumulate(grad_NJ),
            state.placement,
        )
        weighted_NJ = accumulated_NJ * placement.weights_N[:, None]
        (weighted_NJ,) = placement.peers.all_gather(weighted_NJ)
        score_1J = weighted_NJ.sum(dim=0, keepdim=True).abs()
        best_1k = kernels.unchecked(score_1J).select(score_1J, state.k)
        return state.take(best_1k.expand(len(accumulated_NJ), state.k), trusted=True)
