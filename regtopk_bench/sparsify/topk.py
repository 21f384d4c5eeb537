"""Top-k with error feedback (Aji & Heafield 2017, arXiv 1704.05021; Stich et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from regtopk_bench.messages import SparseGradient
from regtopk_bench.sparsify.error_feedback import ErrorFeedback, ErrorFeedbackSparsifier
from regtopk_bench.sparsify.state import own


@dataclass(frozen=True, kw_only=True)
class TopK(ErrorFeedbackSparsifier):
    """Each worker sends the k entries of its accumulated gradient largest in magnitude.

    a_n = ε_n + g_n;  I_n = top-k of |a_n|;  send a_n[I_n];  ε_n ← a_n with I_n zeroed.
    """

    def compress(self, state: ErrorFeedback, grad_NJ: Tensor) -> SparseGradient:
        """Send the k largest |a| of every worker."""
        return own(state, self.State, self).step(grad_NJ)
