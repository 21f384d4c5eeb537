"""Messages: rows that travel, a share of the aggregate, and exact bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages import raw
from regtopk_bench.messages.encoding import Encoding


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

    def stated(self, encoding: Encoding) -> str:
        """Return what the bytes in an encoding consist of, in words."""
        return f"{type(self).__name__} as it is"

    def bytes_N(self, encoding: Encoding) -> Sequence[int]:
        """Return the exact size of each worker's message in bytes, without framing."""
        sizes_N, checksum = self.sizes_N(encoding), encoding.checksum_bytes
        return [size + checksum for size in sizes_N] if checksum else sizes_N

    def sizes_N(self, encoding: Encoding) -> Sequence[int]:
        """Return the same without a checksum: what `write` returns for each."""
        return [raw.size(self.rows())] * len(self)

    def value_bytes(self) -> int:
        """Return the size of a worker's values: what is left to send where indices are known."""
        return sum(row[0].nbytes for row in self.rows() if row.is_floating_point())

    def fixed_size(self, encoding: Encoding) -> int | None:
        """Return the size that every worker's message has in every round, or None if it varies.

        Only parts of a gradient are asked for it: one that varies is sent with its length.
        """
        return None

    def write(self, worker: int, encoding: Encoding, out: Array) -> int:
        """Write the message of one worker, by its place, into bytes; return how many.

        A kind of message with an encoding of its own defines this, `from_bodies`, `sizes_N` and
        `stated`; without, its rows travel as they are.

        Args:
            worker: Which of the n rows.
            encoding: How to write it.
            out: uint8, as many as `room` says.
        """
        return raw.write(self.rows(), worker, out)

    def room(self, encoding: Encoding) -> int:
        """Return a number of bytes that no worker's message exceeds."""
        return max([raw.size(self.rows()), *self.sizes_N(encoding)])

    def from_bodies(self, bodies: Sequence[Array], encoding: Encoding) -> Self:
        """Return the messages of all the workers whose bytes are given, uint8, as one.

        Raises:
            RunError: If they cannot be the bytes of such messages.
        """
        return self.gathered(raw.read(self.rows(), bodies))

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
