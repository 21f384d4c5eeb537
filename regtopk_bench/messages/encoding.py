"""How many bytes the entries of a gradient take on the wire, in a stated encoding."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Encoding:
    """Coordinates or a plain vector, whichever is shorter.

    A message of m entries out of J is m pairs of index and value, or J values without indices
    where that takes no more bytes; its length tells the receiver which. Framing is up
    to the transport and not counted.
    """

    index_bytes: int
    """Bytes of an unsigned index."""

    value_bytes: int
    """Bytes of a value."""

    @classmethod
    @functools.cache
    def of(cls, dim: int, dtype: torch.dtype) -> Encoding:
        """Return the encoding of gradients with `dim` entries of `dtype`."""
        return cls(index_bytes=4 if dim <= 2**32 else 8, value_bytes=dtype.itemsize)

    def size(self, entries: int, dim: int) -> int:
        """Return the bytes of one message with `entries` of `dim` entries."""
        return min(entries * (self.index_bytes + self.value_bytes), dim * self.value_bytes)

    def __str__(self) -> str:
        """Say what is counted."""
        return f"{self.index_bytes}-byte indices, {self.value_bytes}-byte values"
