"""Selection within every layer by itself, instead of among all parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.sparsify.base import Peers, SparseGradient, Sparsifier


@dataclass
class PerLayerState:
    """One state for each layer."""

    layers: list[Any]


@dataclass(frozen=True)
class PerLayer(Sparsifier):
    """Runs a sparsifier on each layer's part of the gradient; messages are put together.

    Every layer so has its own k of at least 1, as in implementations that compress tensor by
    tensor. A large layer then cannot crowd out a small one, nor can a small one that matters send
    more than its share.
    """

    sparsifier: Sparsifier
    """What selects within a layer."""

    dims: tuple[int, ...]
    """How many parameters each layer has, in order; they add up to J."""

    @property
    def splits(self) -> bool:  # type: ignore[override]
        """Whether what selects within a layer can be split."""
        return self.sparsifier.splits

    def init(
        self,
        workers: int,
        dim: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        weights: Tensor | None = None,
        peers: Peers | None = None,
    ) -> PerLayerState:
        """See `Sparsifier.init`."""
        if sum(self.dims) != dim:
            raise ConfigurationError(
                f"the layers have {sum(self.dims)} parameters, the gradient {dim}"
            )
        return PerLayerState(
            [self.sparsifier.init(workers, own, dtype, device, weights, peers) for own in self.dims]
        )

    def compress(self, state: PerLayerState, grad_NJ: Tensor) -> SparseGradient:
        """Send what is selected in each layer."""
        messages, before = [], 0
        for layer, own in zip(state.layers, self.dims, strict=True):
            part = grad_NJ[:, before : before + own].contiguous()
            message = self.sparsifier.compress(layer, part)
            messages.append(message._replace(indices=message.indices + before))
            before += own
        return _joined(messages, before)

    def feedback(self, state: PerLayerState, aggregate_J: Tensor) -> None:
        """Give each layer its part of the aggregate."""
        for layer, part in zip(state.layers, aggregate_J.split(self.dims), strict=True):
            self.sparsifier.feedback(layer, part)

    def state_dict(self, state: PerLayerState) -> dict[str, Tensor]:
        """Return the rows of every layer, under its number."""
        return {
            f"{number}.{name}": rows
            for number, layer in enumerate(state.layers)
            for name, rows in self.sparsifier.state_dict(layer).items()
        }

    def load_state_dict(self, state: PerLayerState, rows: Mapping[str, Tensor]) -> None:
        """See `Sparsifier.load_state_dict`."""
        for number, layer in enumerate(state.layers):
            start = f"{number}."
            own = {n.removeprefix(start): row for n, row in rows.items() if n.startswith(start)}
            self.sparsifier.load_state_dict(layer, own)


def _joined(messages: list[SparseGradient], dim: int) -> SparseGradient:
    """Return messages of the layers, in order, as one."""
    indices_Nk = torch.cat([message.indices for message in messages], dim=1)
    values_Nk = torch.cat([message.values for message in messages], dim=1)
    if all(message.counts is None for message in messages):
        return SparseGradient(indices_Nk, values_Nk, dim)
    sent_Nk = torch.cat([_sent(message) for message in messages], dim=1)
    first = (~sent_Nk).to(torch.uint8).argsort(dim=1, stable=True)  # then what is padding
    counts_N = sent_Nk.sum(dim=1)
    longest = int(counts_N.max())
    indices_Nk = (indices_Nk * sent_Nk).gather(1, first)[:, :longest]
    values_Nk = (values_Nk * sent_Nk).gather(1, first)[:, :longest]
    return SparseGradient(indices_Nk, values_Nk, dim, counts_N)


def _sent(message: SparseGradient) -> Tensor:
    """Return which places of a message hold an entry and no padding."""
    if message.counts is None:
        return torch.ones_like(message.indices, dtype=torch.bool)
    places = torch.arange(message.indices.shape[1], device=message.indices.device)
    return places < message.counts[:, None]
