"""Indices as the bits of their gaps: about log2(e J/k) of them for each of k entries out of J.

A message says first how many entries it has, as a varint, then how its blocks are written, and then
come the blocks: see `regtopk_bench.kernels.gaps`. The values are not changed. NumPy writes the same
bytes as Numba, where that is installed, but takes a hundred times as long.
"""

from __future__ import annotations

import numpy as np

from regtopk_bench import kernels
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels.gaps import BLOCK, RAW, Array, header_bytes, placed
from regtopk_bench.messages import varint
from regtopk_bench.messages.encoding import damaged, index_bytes


def sizes(indices_Nk: Array, counts_N: Array, dim: int) -> list[int]:
    """Return the bytes of the indices of each worker, and of what is said about them."""
    found = kernels.over_bytes("gaps").sizes(indices_Nk, counts_N, index_bytes(dim))
    if -1 in found:
        raise _changed()
    return [varint.size(count) + size for count, size in zip(counts_N.tolist(), found, strict=True)]


def largest(entries: int, dim: int) -> int:
    """Return a number of bytes that so many indices, and what is said about them, do not exceed."""
    blocks = -(-entries // BLOCK)
    return varint.size(entries) + 2 * blocks + entries * index_bytes(dim)


def write(indices_k: Array, dim: int, out: Array) -> int:
    """Write the indices of one worker into bytes, of which there are enough; return how many."""
    count = np.frombuffer(varint.encoded(len(indices_k)), np.uint8)
    start = len(count) + 2 * -(-len(indices_k) // BLOCK)  # unless some have no bitmap
    blocks = kernels.over_bytes("gaps").write(indices_k, index_bytes(dim), out[start:])
    if blocks is None:
        raise _changed()
    header = np.concatenate([count, blocks.widths, blocks.maps[blocks.widths != RAW]])
    end = len(header) + int(blocks.size)
    if len(header) < start:
        out[len(header) : end] = out[start : start + blocks.size]
    out[: len(header)] = header
    return end


class Reader:
    """Reads the indices of one worker.

    Attributes:
        entries: How many there are.
        end: Where the values begin.
    """

    def __init__(self, body: Array, dim: int, value_bytes: int) -> None:
        """Read what is said about them.

        Raises:
            RunError: If it cannot be.
        """
        self.entries, start = varint.decoded(body, 0)
        if self.entries > min(dim, len(body)):
            raise damaged(f"{len(body)} bytes are too few for {self.entries} entries")
        blocks, self._dim = -(-self.entries // BLOCK), dim
        widths = body[start : start + blocks]
        maps, bitmaps = np.zeros(len(widths), np.uint8), widths != RAW
        header = start + header_bytes(widths)
        if len(widths) < blocks or header > len(body):
            raise damaged(f"{len(body)} bytes are too few for {blocks} blocks")
        maps[bitmaps] = body[start + blocks : header]
        self._blocks = placed(widths, maps, self.entries, index_bytes(dim))
        self.end = header + self._blocks.size
        if self.end + self.entries * value_bytes != len(body):
            raise damaged(f"{len(body)} bytes are not {self.entries} entries")
        self._body = body[header : self.end]

    def into(self, out: Array) -> None:
        """Write them into an array of so many numbers, int64.

        Raises:
            RunError: If they cannot be those of a message.
        """
        width, coder = index_bytes(self._dim), kernels.over_bytes("gaps")
        if not coder.read(self._body, width, self._blocks, self._dim, out):
            raise damaged("its blocks of indices contradict themselves")


def _changed() -> ConfigurationError:
    return ConfigurationError("indices of a message were changed: they do not ascend from 0")
