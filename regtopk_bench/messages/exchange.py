"""How the messages of some workers become those of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from torch import Tensor

from regtopk_bench.errors import ConfigurationError, failures_of
from regtopk_bench.kernels import check_tensor
from regtopk_bench.messages.base import Message, check_message
from regtopk_bench.messages.dense import DenseGradient
from regtopk_bench.messages.raw import stacked
from regtopk_bench.messages.sparse import SparseGradient

M = TypeVar("M", bound=Message)


class Peers(Protocol):
    """Access to the workers of other processes."""

    @property
    def processes(self) -> int:
        """How many processes host the workers, this one included."""
        ...

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Exchange rows: every tensor (n, …) of the n workers here becomes (N, …).

        All processes call it together, with tensors of the same dtypes. Their second dimensions
        may differ: shorter rows are padded with zeros to the longest. Rows come back in worker
        order, with the same bits in every process; they are read-only, and valid until the next
        call returns.
        """
        ...


class Alone:
    """The peers of a process that hosts every worker: there are no others."""

    processes = 1

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Return the given rows, which are all there are."""
        return rows


def join(messages: Sequence[M]) -> M:
    """Join messages of consecutive workers, made by one sparsifier, into one batch.

    Raises:
        ConfigurationError: If they are no messages, or of different kinds.
    """
    if len(messages) == 1:
        return messages[0]
    for message in messages:
        check_message(message, "messages")
    if len({(type(message), message.dim) for message in messages}) != 1:
        raise ConfigurationError("messages to join: expected some of one kind and length")
    with failures_of(f"messages of kind {type(messages[0]).__name__}, when joined,"):
        each = zip(*(message.rows() for message in messages), strict=True)
        return messages[0].gathered([stacked(tensors) for tensors in each])


def gather(message: M, peers: Peers) -> M:
    """Return the messages of all N workers, in worker order, given those hosted here."""
    if peers.processes == 1:
        return message
    rows = peers.all_gather(*message.rows())
    with failures_of(f"messages of kind {type(message).__name__}, when gathered,"):
        return message.gathered(rows)


def aggregate(messages: Message, weights_N: Tensor, out: Tensor | None = None) -> Tensor:
    """Return g = Σ ω_n · message_n, (J,), summed in worker order.

    Args:
        messages: The messages of all N workers.
        weights_N: ω, (N,), same dtype and device as the messages.
        out: Memory that the result may take, (J,), of the same dtype and device.

    Raises:
        ConfigurationError: If the weights do not fit the messages.
        RunError: If messages of a kind from outside the package fail.
    """
    if type(messages) is SparseGradient:
        return messages.total(weights_N, out)
    if type(messages) is DenseGradient:
        return messages.total(weights_N)
    check_message(messages, "messages")
    if not isinstance(weights_N, Tensor):
        raise ConfigurationError(f"weights: expected a tensor, not a {type(weights_N).__name__}")
    with failures_of(f"messages of kind {type(messages).__name__}, when added up,"):
        total_J = messages.total(weights_N)
    check_tensor(total_J, "aggregate", (messages.dim,), weights_N.dtype, weights_N.device)
    return total_J
