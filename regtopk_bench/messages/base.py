"""Messages: rows that travel, a share of the aggregate, and exact bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.errors import ConfigurationError


class Message(ABC):
    """What some workers send in a round, one row each.

    The training loop, transports and the recorder handle messages through these methods only,
    so a sparsifier may define its own kind of message.
    """

    dim: int
    """J, the length of the gradients that the messages were made from."""

    def __len__(self) -> int:
        """Return n, of how many workers these are the messages."""
        return len(self.rows()[0])

    @property
    @abstractmethod
    def encoding(self) -> str:
        """The encoding whose bytes `bytes_N` counts, in words."""

    @abstractmethod
    def rows(self) -> tuple[Tensor, ...]:
        """Return what must travel: tensors with a row for each worker, (n, …).

        Every process returns the same number of tensors, with the same dtypes. Their second
        dimensions may differ between processes: shorter rows arrive padded with zeros.
        """

    @abstractmethod
    def gathered(self, rows: Sequence[Tensor]) -> Self:
        """Return the messages of all the workers whose rows are given, as one."""

    @abstractmethod
    def to_dense(self) -> Tensor:
        """Return the gradients that the messages represent, (n, J)."""

    @abstractmethod
    def bytes_N(self) -> Sequence[int]:
        """Return the exact size of each worker's message in bytes, without framing."""

    def total(self, weights_N: Tensor) -> Tensor:
        """Return g = Σ ω_n · message_n, (J,), summed in worker order.

        Args:
            weights_N: ω, (N,), in the dtype and on the device of the messages.

        Raises:
            ConfigurationError: If they are not.
        """
        return kernels.weighted_sum(self.to_dense(), weights_N)


def check_message(message: Any, name: str) -> None:
    """Raise ConfigurationError unless this is a message."""
    if not isinstance(message, Message):
        raise ConfigurationError(f"{name}: expected a Message, not a {type(message).__name__}")
