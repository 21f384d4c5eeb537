"""Indices as the bits of their gaps: about log2(e J/k) of them for each of k entries out of J.

A message says first how many entries it has, as a varint, then how its blocks are written, and then
come the blocks: see `regtopk_bench.kernels.gaps`. The values are not changed. NumPy writes the same
bytes as Numba, where that is installed, but takes a hundred times as long.
"""

from __future__ import annotations

import numpy as np

from regtopk_bench import kernels
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels import gaps
from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages import varint
from regtopk_bench.messages.encoding import damaged, index_bytes


def sizes(indices_Nk: Array, counts_N: Array, dim: int) -> list[int]:
    """Return the bytes of the indices of each worker, and of what is said about them."""
    found = kernels.over_bytes("gaps").sizes(indices_Nk, counts_N, index_bytes(dim))
    if -1 in found:
        raise _changed()
    return [varint.size(count) + size for count, size in zip(counts_N.tolist(), found, strict=True)]


def room(entries: int, dim: int) -> int:
    """Return how many bytes `write` must be given."""
    return varint.size(entries) + gaps.room(entries, index_bytes(dim))


def write(indices_k: Array, dim: int, out: Array) -> int:
    """Write the indices of one worker into bytes; return how many."""
    count = varint.encoded(len(indices_k))
    out[: len(count)] = np.frombuffer(count, np.uint8)
    size = kernels.over_bytes("gaps").write(indices_k, index_bytes(dim), out[len(count) :])
    if size < 0:
        raise _changed()
    return len(count) + int(size)


def entries(body: Array, dim: int, value_bytes: int) -> int:
    """Return how many entries a message has.

    Raises:
        RunError: If it does not say so, or is too short for as many.
    """
    count, start = varint.decoded(body, 0)
    if count > dim or start + count * value_bytes > len(body):
        raise damaged(f"{len(body)} bytes are too few for {count} of {dim} entries")
    return count


def read(body: Array, dim: int, out: Array) -> int:
    """Read the indices of a message, int64, as many as there are; return where its values begin.

    Raises:
        RunError: If they cannot be those of a message.
    """
    _, start = varint.decoded(body, 0)
    size = kernels.over_bytes("gaps").read(body[start:], index_bytes(dim), dim, out)
    if size < 0:
        raise damaged("its blocks of indices contradict themselves")
    return start + int(size)


def _changed() -> ConfigurationError:
    return ConfigurationError("indices of a message were changed: they do not ascend from 0")
