"""Messages about consecutive parts of the gradient, combined into one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages.base import Message, check_message


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

    @property
    def encoding(self) -> str:
        """The encodings of the parts, in words."""
        return "; ".join(dict.fromkeys(part.encoding for part in self.parts))

    def bytes_N(self) -> Sequence[int]:
        """See `Message.bytes_N`."""
        return [sum(sizes) for sizes in zip(*(part.bytes_N() for part in self.parts), strict=True)]
