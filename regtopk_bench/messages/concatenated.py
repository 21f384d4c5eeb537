"""Messages about consecutive parts of the gradient, combined into one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages import varint
from regtopk_bench.messages.base import Message, check_message
from regtopk_bench.messages.encoding import Encoding, damaged


class Concatenated(Message):
    """What was sent for each part of a gradient, such as its layers, in order.

    Attributes:
        parts: A message about each part; their `dim`s add up to J.
        dim: J.
    """

    def __init__(self, parts: Sequence[Message]) -> None:
        """Combine the parts.

        Raises:
            ConfigurationError: If they are no messages, or not of the same workers.
        """
        parts = list(parts)
        for number, part in enumerate(parts):
            check_message(part, f"part {number}")
        if len({len(part) for part in parts}) != 1:
            raise ConfigurationError("parts of a gradient: expected messages of the same workers")
        self.parts, self.dim = parts, sum(part.dim for part in parts)

    def __len__(self) -> int:
        """Return n."""
        return len(self.parts[0])

    def rows(self) -> tuple[Tensor, ...]:
        """See `Message.rows`."""
        return tuple(itertools.chain.from_iterable(part.rows() for part in self.parts))

    def gathered(self, rows: Sequence[Tensor]) -> Concatenated:
        """See `Message.gathered`."""
        waiting = iter(rows)
        parts = [
            part.gathered(list(itertools.islice(waiting, len(part.rows())))) for part in self.parts
        ]
        if left := len(list(waiting)):
            raise ConfigurationError(f"messages cannot be made of {left} more tensors than theirs")
        return Concatenated(parts)

    def to_dense(self) -> Tensor:
        """See `Message.to_dense`."""
        return torch.cat([part.to_dense() for part in self.parts], dim=1)

    def total(self, weights_N: Tensor) -> Tensor:
        """See `Message.total`."""
        return torch.cat([part.total(weights_N) for part in self.parts])

    def stated(self, encoding: Encoding) -> str:
        """See `Message.stated`."""
        return "; ".join(dict.fromkeys(part.stated(encoding) for part in self.parts))

    def sizes_N(self, encoding: Encoding) -> Sequence[int]:
        """See `Message.sizes_N`; a part whose size varies is preceded by it, except the last."""
        sizes = [part.sizes_N(encoding) for part in self.parts]
        announced = [
            map(varint.size, own)
            for part, own in zip(self.parts[:-1], sizes, strict=False)
            if part.fixed_size(encoding) is None
        ]
        return [sum(each) for each in zip(*sizes, *announced, strict=True)]

    def value_bytes(self) -> int:
        """See `Message.value_bytes`."""
        return sum(part.value_bytes() for part in self.parts)

    def fixed_size(self, encoding: Encoding) -> int | None:
        """See `Message.fixed_size`."""
        sizes = [part.fixed_size(encoding) for part in self.parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def write(self, worker: int, encoding: Encoding, out: Array) -> int:
        """See `Message.write`."""
        at, last = 0, len(self.parts) - 1
        for number, part in enumerate(self.parts):
            length = number < last and part.fixed_size(encoding) is None
            start = at + (varint.size(part.room(encoding)) if length else 0)
            size = part.write(worker, encoding, out[start:])
            said = varint.encoded(size) if length else b""
            out[at : at + len(said)] = np.frombuffer(said, np.uint8)
            at += len(said)
            if at < start:
                out[at : at + size] = out[start : start + size]
            at += size
        return at

    def room(self, encoding: Encoding) -> int:
        """See `Message.room`."""
        rooms = [part.room(encoding) for part in self.parts]
        return sum(rooms) + sum(map(varint.size, rooms))

    def from_bodies(self, bodies: Sequence[Array], encoding: Encoding) -> Concatenated:
        """See `Message.from_bodies`."""
        each = zip(*(self._split(body, encoding) for body in bodies), strict=True)
        return Concatenated(
            [part.from_bodies(own, encoding) for part, own in zip(self.parts, each, strict=True)]
        )

    def _split(self, body: Array, encoding: Encoding) -> list[Array]:
        """Return the parts of one worker's bytes."""
        found, at = [], 0
        for part in self.parts[:-1]:
            size = part.fixed_size(encoding)
            if size is None:
                size, at = varint.decoded(body, at)
            if at + size > len(body):
                raise damaged(f"{len(body)} bytes are too few")
            found.append(body[at : at + size])
            at += size
        return [*found, body[at:]]
