"""From messages to the aggregate, the same bits in every process."""

from __future__ import annotations

import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.sparsify import Peers, SparseGradient


def gather_messages(message: SparseGradient, peers: Peers) -> SparseGradient:
    """Return the messages of all N workers, in worker order, given those hosted here."""
    if message.counts is None:
        indices_Nk, values_Nk = peers.all_gather(message.indices, message.values)
        return SparseGradient(indices_Nk, values_Nk, message.dim)
    (counts_N,) = (gathered.clone() for gathered in peers.all_gather(message.counts))
    longest = int(counts_N.max()) - message.indices.shape[1]
    indices_Nk, values_Nk = peers.all_gather(
        torch.nn.functional.pad(message.indices, (0, longest)),  # cuts where it is negative
        torch.nn.functional.pad(message.values, (0, longest)),
    )
    return SparseGradient(indices_Nk, values_Nk, message.dim, counts_N)


def aggregate(messages: SparseGradient, weights_N: Tensor) -> Tensor:
    """Return g = Σ ω_n · scatter(message_n), (J,), summed in worker order.

    Args:
        messages: The messages of all N workers.
        weights_N: ω, same dtype and device as the values.
    """
    if messages.counts is None and messages.indices.shape[1] == messages.dim:
        return kernels.weighted_sum(messages.values, weights_N)
    return kernels.scatter_sum(messages.indices, messages.values, weights_N, messages.dim)
