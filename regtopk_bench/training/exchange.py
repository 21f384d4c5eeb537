"""From messages to the aggregate, the same bits in every process."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.sparsify import Peers, SparseGradient


def join_messages(messages: Sequence[SparseGradient]) -> SparseGradient:
    """Return the messages that one sparsifier makes of some workers, then others, as one batch."""
    if len(messages) == 1:
        return messages[0]
    longest = max(message.indices.shape[1] for message in messages)
    indices = torch.cat([_resized(message.indices, longest) for message in messages])
    values = torch.cat([_resized(message.values, longest) for message in messages])
    dim = messages[0].dim
    counts = [message.counts for message in messages if message.counts is not None]
    return SparseGradient(indices, values, dim, torch.cat(counts) if counts else None)


def gather_messages(message: SparseGradient, peers: Peers) -> SparseGradient:
    """Return the messages of all N workers, in worker order, given those hosted here."""
    if message.counts is None and message.indices.shape[1] == message.dim:
        (values_NJ,) = peers.all_gather(message.values)  # everybody knows the indices
        return SparseGradient(message.indices[:1].expand_as(values_NJ), values_NJ, message.dim)
    if message.counts is None:
        indices_Nk, values_Nk = peers.all_gather(message.indices, message.values)
        return SparseGradient(indices_Nk, values_Nk, message.dim)
    (counts_N,) = (gathered.clone() for gathered in peers.all_gather(message.counts))
    longest = int(counts_N.max())
    indices_Nk, values_Nk = peers.all_gather(
        _resized(message.indices, longest), _resized(message.values, longest)
    )
    return SparseGradient(indices_Nk, values_Nk, message.dim, counts_N)


def _resized(rows: Tensor, length: int) -> Tensor:
    """Return rows that are padded with zeros, or cut, to a length."""
    return torch.nn.functional.pad(rows, (0, length - rows.shape[1]))


def aggregate(messages: SparseGradient, weights_N: Tensor) -> Tensor:
    """Return g = Σ ω_n · scatter(message_n), (J,), summed in worker order.

    Args:
        messages: The messages of all N workers.
        weights_N: ω, same dtype and device as the values.
    """
    if messages.counts is None and messages.indices.shape[1] == messages.dim:
        return kernels.weighted_sum(messages.values, weights_N)
    return kernels.scatter_sum(messages.indices, messages.values, weights_N, messages.dim)
