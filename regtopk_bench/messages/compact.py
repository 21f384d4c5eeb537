"""Indices as the bits of their gaps: about log2(e J/k) of them for each of k entries out of J.

A message says first how many entries it has, as a varint, then how its blocks are written, and then
come the blocks: see `regtopk_bench.kernels.gaps`. The values are not changed. Numba, where it is
installed, writes the same bytes as NumPy, in a hundredth of the time.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from regtopk_bench import kernels
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels.gaps import BLOCK, RAW, Array, placed
from regtopk_bench.messages import varint
from regtopk_bench.messages.encoding import damaged, index_bytes


def sizes(indices_Nk: Array, counts_N: Array, dim: int) -> list[int]:
    """Return the bytes of the indices of each worker, and of what is said about them."""
    found = _coder().sizes(indices_Nk, counts_N, index_bytes(dim))
    if -1 in found:
        raise _changed()
    return [varint.size(count) + size for count, size in zip(counts_N.tolist(), found, strict=True)]


class Writer:
    """Writes the indices of one worker.

    Attributes:
        size: How many bytes they take.
    """

    def __init__(self, indices_k: Array, dim: int) -> None:
        """Measure them."""
        measured = _coder().measure(indices_k, index_bytes(dim))
        if measured is None:
            raise _changed()
        widths, maps = measured
        self._indices_k, self._index_bytes = indices_k, index_bytes(dim)
        self._blocks = placed(widths, maps, len(indices_k), self._index_bytes)
        count = np.frombuffer(varint.encoded(len(indices_k)), np.uint8)
        self._header = np.concatenate([count, widths, maps[widths != RAW]])
        self.size = len(self._header) + self._blocks.size

    def into(self, out: Array) -> None:
        """Write them into an array of so many bytes."""
        start = len(self._header)
        out[:start] = self._header
        if not _coder().write(self._indices_k, self._index_bytes, self._blocks, out[start:]):
            raise _changed()


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
        start += blocks
        following = body[start : start + int(np.count_nonzero(bitmaps))]
        start += int(np.count_nonzero(bitmaps))
        if start > len(body):
            raise damaged(f"{len(body)} bytes are too few for {blocks} blocks")
        maps[bitmaps] = following
        self._blocks = placed(widths, maps, self.entries, index_bytes(dim))
        self.end = start + self._blocks.size
        if self.end + self.entries * value_bytes != len(body):
            raise damaged(f"{len(body)} bytes are not {self.entries} entries")
        self._body = body[start : self.end]

    def into(self, out: Array) -> None:
        """Write them into an array of so many numbers, int64.

        Raises:
            RunError: If they cannot be those of a message.
        """
        if not _coder().read(self._body, index_bytes(self._dim), self._blocks, self._dim, out):
            raise damaged("its blocks of indices contradict themselves")


@functools.cache
def _coder() -> Any:
    """Return the compiled functions if Numba is there, or else those of NumPy."""
    where = "numba_cpu.gaps" if kernels.implementation("numba") else "gaps"
    return importlib.import_module(f"regtopk_bench.kernels.{where}")


def _changed() -> ConfigurationError:
    return ConfigurationError("indices of a message were changed: they do not ascend from 0")
