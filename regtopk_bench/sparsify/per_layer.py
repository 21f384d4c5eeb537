"""Selection within each layer, instead of among all parameters."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import Concatenated
from regtopk_bench.sparsify.base import Sparsifier
from regtopk_bench.sparsify.placement import Placement, check_placement
from regtopk_bench.sparsify.state import State, own


@dataclass(kw_only=True)
class PerLayerState(State):
    """One state for each layer."""

    layers: list[State]


@dataclass(frozen=True)
class PerLayer(Sparsifier):
    """Runs a sparsifier on each layer's part of the gradient, and concatenates the messages.

    Every layer then has its own k of at least 1, as in implementations that compress tensor by
    tensor: a large layer cannot crowd out a small one, nor can a small one that matters send
    more than its share. Layers are the tensors of the placement; nothing is sent for those without
    entries.
    """

    sparsifier: Sparsifier
    """The sparsifier within each layer."""

    def __post_init__(self) -> None:
        """Validate the sparsifier."""
        if not isinstance(self.sparsifier, Sparsifier):
            raise ConfigurationError(
                f"PerLayer: expected a sparsifier for each layer, not {shown(self.sparsifier)}"
            )

    @property
    def splits(self) -> bool:  # type: ignore[override]
        """Whether the sparsifier within each layer splits."""
        return self.sparsifier.splits

    @property
    def summable(self) -> bool:  # type: ignore[override]
        """Whether what is sent for each layer can be added up on its way."""
        return self.sparsifier.summable

    def init(self, placement: Placement) -> PerLayerState:
        """See `Sparsifier.init`."""
        check_placement(placement)
        layers = [self.sparsifier.init(layer) for layer in placement.layers()]
        return PerLayerState(placement=placement, layers=layers)

    def compress(self, state: PerLayerState, grad_NJ: Tensor) -> Concatenated:
        """Send what is selected in each layer."""
        own(state, PerLayerState, self).placement.check_gradients(grad_NJ)
        parts = grad_NJ.split(state.placement.dims, dim=1)
        return Concatenated(
            [
                self.sparsifier.compress(layer, part.contiguous())
                for layer, part in zip(state.layers, parts, strict=True)
            ]
        )

    def feedback(self, state: PerLayerState, aggregate_J: Tensor) -> None:
        """Give each layer its part of the aggregate."""
        own(state, PerLayerState, self).placement.check_aggregate(aggregate_J)
        parts = aggregate_J.split(state.placement.dims)
        for layer, part in zip(state.layers, parts, strict=True):
            self.sparsifier.feedback(layer, part)
