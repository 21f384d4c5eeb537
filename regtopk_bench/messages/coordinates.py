"""Indices as they are: 4 bytes each, or 8 where gradients have more than 2³² entries."""

from __future__ import annotations

import numpy as np

from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages.encoding import damaged, index_bytes


def size(entries: int, dim: int, value_bytes: int) -> int:
    """Return the bytes of a message with `entries` of `dim` entries, or of a plain vector."""
    return min(entries * (index_bytes(dim) + value_bytes), dim * value_bytes)


def room(entries: int, dim: int) -> int:
    """See `compact.room`."""
    return entries * index_bytes(dim)


def write(indices_k: Array, dim: int, out: Array) -> int:
    """See `compact.write`."""
    size = len(indices_k) * index_bytes(dim)
    out[:size].view(f"<u{index_bytes(dim)}")[:] = indices_k
    return size


def entries(body: Array, dim: int, value_bytes: int) -> int:
    """See `compact.entries`."""
    count, left = divmod(len(body), index_bytes(dim) + value_bytes)
    if left or len(body) > dim * value_bytes:
        raise damaged(f"{len(body)} bytes are neither entries nor a gradient of {dim} entries")
    return count


def read(body: Array, dim: int, out: Array) -> int:
    """See `compact.read`."""
    end = len(out) * index_bytes(dim)
    out[:] = body[:end].view(f"<u{index_bytes(dim)}")
    if len(out) and not (out[0] >= 0 and out[-1] < dim and (np.diff(out) > 0).all()):
        raise damaged(f"its indices do not ascend from 0 to {dim - 1}")
    return end
