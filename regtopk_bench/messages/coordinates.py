"""Indices as they are: 4 bytes each, or 8 where gradients have more than 2³² entries."""

from __future__ import annotations

import numpy as np

from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages.encoding import damaged, index_bytes


def size(entries: int, dim: int, value_bytes: int) -> int:
    """Return the bytes of a message with `entries` of `dim` entries, or of a plain vector."""
    return min(entries * (index_bytes(dim) + value_bytes), dim * value_bytes)


def largest(entries: int, dim: int) -> int:
    """See `compact.largest`."""
    return entries * index_bytes(dim)


def write(indices_k: Array, dim: int, out: Array) -> int:
    """See `compact.write`."""
    size = len(indices_k) * index_bytes(dim)
    out[:size].view(f"<u{index_bytes(dim)}")[:] = indices_k
    return size


class Reader:
    """Reads the indices of one worker; see `compact.Reader`."""

    def __init__(self, body: Array, dim: int, value_bytes: int) -> None:
        """Find them.

        Raises:
            RunError: If there cannot be any.
        """
        self.entries, left = divmod(len(body), index_bytes(dim) + value_bytes)
        if left or len(body) > dim * value_bytes:
            raise damaged(f"{len(body)} bytes are neither entries nor a gradient of {dim} entries")
        self.end, self._dim = self.entries * index_bytes(dim), dim
        self._indices_k = body[: self.end].view(f"<u{index_bytes(dim)}")

    def into(self, out: Array) -> None:
        """Write them into an array of so many numbers, int64.

        Raises:
            RunError: If they cannot be those of a message.
        """
        out[:] = self._indices_k
        if len(out) and not (out[0] >= 0 and out[-1] < self._dim and (np.diff(out) > 0).all()):
            raise damaged(f"its indices do not ascend from 0 to {self._dim - 1}")
