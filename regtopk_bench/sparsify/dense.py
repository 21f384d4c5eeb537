"""No sparsification: every worker sends its whole gradient, the baseline of all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from regtopk_bench.kernels import check_finite
from regtopk_bench.messages import DenseGradient
from regtopk_bench.sparsify.base import Sparsifier
from regtopk_bench.sparsify.placement import Placement, check_placement
from regtopk_bench.sparsify.state import State, own


@dataclass(frozen=True)
class Dense(Sparsifier):
    """Sends all J entries: g = Σ ω_n g_n. Nothing is kept back."""

    summable: ClassVar[bool] = True

    def init(self, placement: Placement) -> State:
        """See `Sparsifier.init`."""
        check_placement(placement)
        return State(placement=placement)

    def compress(self, state: State, grad_NJ: Tensor) -> DenseGradient:
        """Send the gradients as they are."""
        own(state, State, self).placement.check_gradients(grad_NJ)
        check_finite(grad_NJ)
        return DenseGradient(grad_NJ, trusted=True)
