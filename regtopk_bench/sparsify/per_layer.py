"""Selection within each layer, instead of among all parameters."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from regtopk_bench.messages import Concatenated
from regtopk_bench.sparsify.base import Sparsifier
from regtopk_bench.sparsify.placement import Placement
from regtopk_bench.sparsify.state import State


@dataclass(kw_only=True)
class PerLayerState(State):
    """One state for each layer."""

    layers: list[State]


@dataclass(frozen=True)
class PerLayer(Sparsifier):
    """Runs a sparsifier on each layer's part of the gradient, and concatenates the messages.

    Every layer then has its own k of at least 1, as in implementations that compress tensor by
    tensor: a large layer cannot crowd out a small one, nor can a small one that matters send
    more than its share. Layers are the tensors of the placement.
    """

    sparsifier: Sparsifier
    """The sparsifier within each layer."""

    @property
    def splits(self) -> bool:  # type: ignore[override]
        """Whether the sparsifier within each layer splits."""
        return self.sparsifier.splits

    def init(self, placement: Placement) -> PerLayerState:
        """See `Sparsifier.init`."""
        layers = [self.sparsifier.init(layer) for layer in placement.layers()]
        return PerLayerState(placement=placement, layers=layers)

    def compress(self, state: PerLayerState, grad_NJ: Tensor) -> Concatenated:
        """Send what is selected in each layer."""
        parts = grad_NJ.split(state.placement.dims, dim=1)
        return Concatenated(
            [
                self.sparsifier.compress(layer, part.contiguous())
                for layer, part in zip(state.layers, parts, strict=True)
            ]
        )

    def feedback(self, state: PerLayerState, aggregate_J: Tensor) -> None:
        """Give each layer its part of the aggregate."""
        parts = aggregate_J.split(state.placement.dims)
        for layer, part in zip(state.layers, parts, strict=True):
            self.sparsifier.feedback(layer, part)
