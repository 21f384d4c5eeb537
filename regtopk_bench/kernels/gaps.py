"""Ascending indices as the bits of their gaps, in blocks: the definition, in plain NumPy.

A gap is how many entries lie between an index and the one before it. In a block of 256, every gap
g is written as a quotient and a remainder by a power of two, 2^w (Golomb-Rice coding: Rice and
Plaunt 1971). First come the remainders: the lowest bit of all of them, then the next, up to the
w-th, each in whole bytes. Then comes a bitmap of the quotients: g >> w zeros and a one for each.
Bits fill a byte from its lowest, and what is left of it is zero. Gaps between entries that are
selected independently of each other have a geometric distribution, for which this takes about 0.03
bits more than their entropy; each block has a w of its own, because layers differ in density. A
block that would be no shorter than its gaps in 4 bytes each (8 above 2³² entries), or has a gap of
2³² or more, is written in this way instead; its w is `RAW`. A header says of every block its w, and
of those that have a bitmap how many bytes it takes: two bytes, or one.

`regtopk_bench.kernels.numba_cpu.gaps` has the same functions, compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 256
"""Entries in a block: as few as possible for a header of two bytes that does not show."""

RAW = 255

WIDEST = 32
"""The largest w: remainders have 32 bits at most."""


class Blocks(NamedTuple):
    """How the blocks of a message are written, and where."""

    widths: Array
    """w of each, uint8 (blocks,), or `RAW`."""

    maps: Array
    """Bytes of each bitmap, uint8 (blocks,)."""

    starts: Array
    """Where each begins, int64 (blocks,)."""

    size: int
    """Bytes of all of them."""

    @property
    def each(self) -> tuple[list[int], list[int], list[int]]:
        """The width, bytes of the bitmap, and start of every block."""
        return self.widths.tolist(), self.maps.tolist(), self.starts.tolist()


def placed(widths: Array, maps: Array, entries: int, index_bytes: int) -> Blocks:
    """Return where blocks begin that are written one after another."""
    counts = np.full(len(widths), BLOCK)
    counts[-1:] = entries - BLOCK * (len(widths) - 1)
    compact = (counts + 7 >> 3) * widths + maps
    ends = np.cumsum(np.where(widths == RAW, counts * index_bytes, compact))
    size = int(ends[-1]) if len(ends) else 0
    return Blocks(widths, maps, np.concatenate([[0], ends[:-1]])[: len(ends)], size)


def sizes(indices_Nk: Array, counts_N: Array, index_bytes: int) -> list[int]:
    """Return the bytes of each row's blocks and of their header; -1 where indices do not ascend."""
    found = []
    for indices_k, count in zip(indices_Nk, counts_N.tolist(), strict=True):
        gaps_k = np.diff(indices_k[:count], prepend=-1) - 1
        ascend = not (gaps_k < 0).any()
        blocks = [_narrowest(gaps, index_bytes) for gaps in _blocks(gaps_k)] if ascend else []
        widths, maps = np.array(blocks, np.uint8).reshape(-1, 2).T
        size = header_bytes(widths) + placed(widths, maps, count, index_bytes).size
        found.append(size if ascend else -1)
    return found


def header_bytes(widths: Array) -> int:
    """Return how many bytes it takes to say how blocks are written."""
    return 2 * len(widths) - int(np.count_nonzero(widths == RAW))


def write(indices_k: Array, index_bytes: int, out: Array) -> Blocks | None:
    """Write indices, one block after another, so that each is as short as it can be.

    Three widths are tried, around that of the mean gap; of equals, the smaller is chosen.

    Args:
        indices_k: int64 (k,).
        index_bytes: 4, or 8 above 2³² entries.
        out: Bytes to write to, at least as many as k indices take.

    Returns:
        What was written, or None if the indices are not from 0 up and ascending.
    """
    gaps_k = np.diff(indices_k, prepend=-1) - 1
    if (gaps_k < 0).any():
        return None
    blocks, at = [], 0
    for gaps in _blocks(gaps_k):
        width, map_bytes = _narrowest(gaps, index_bytes)
        if width == RAW:
            content = gaps.view(np.uint8).reshape(-1, 8)[:, :index_bytes].ravel()
        else:
            bitmap = np.zeros(8 * map_bytes, np.uint8)
            bitmap[np.cumsum((gaps >> width) + 1) - 1] = 1
            remainders = gaps >> np.arange(width)[:, None] & 1
            content = np.concatenate([_packed(remainders), _packed(bitmap)])
        out[at : at + len(content)] = content
        blocks.append((width, map_bytes))
        at += len(content)
    widths, maps = np.array(blocks, np.uint8).reshape(-1, 2).T.copy()
    return placed(widths, maps, len(indices_k), index_bytes)


def _narrowest(gaps: Array, index_bytes: int) -> tuple[int, int]:
    """Return the width with which a block is shortest, and the bytes of its bitmap."""
    if int(gaps.max()) >> 32:
        return RAW, 0
    count = len(gaps)
    guess = max(0, (int(gaps.sum()) // count).bit_length() - 2)
    bits = {w: count * (w + 1) + int((gaps >> w).sum()) for w in range(guess, guess + 3)}
    width = min(bits, key=lambda w: (bits[w], w))
    map_bytes = (bits[width] - count * width + 7) // 8
    if width > WIDEST or 1 + (count + 7) // 8 * width + map_bytes > count * index_bytes:
        return RAW, 0
    return width, map_bytes


def read(body: Array, index_bytes: int, blocks: Blocks, dim: int, out: Array) -> bool:
    """Read indices from bytes; return False unless they are ascending, from 0 to `dim` - 1.

    False too if a bitmap has not as many ones as a block has entries, or is longer than it needs to
    be, or if anything but zeros is left of a last byte.
    """
    after = 0
    for indices, width, map_bytes, start in zip(_blocks(out), *blocks.each, strict=True):
        count = len(indices)
        if width == RAW:
            gaps = np.zeros((count, 8), np.uint8)
            gaps[:, :index_bytes] = body[start : start + count * index_bytes].reshape(count, -1)
            gaps_k = gaps.view(np.int64).ravel()
        elif width > WIDEST:
            return False
        else:
            plane_bytes = (count + 7) // 8
            map_start = start + width * plane_bytes
            bits = np.unpackbits(body[start:map_start], bitorder="little")
            planes = bits.reshape(width, 8 * plane_bytes)
            bitmap = np.unpackbits(body[map_start : map_start + map_bytes], bitorder="little")
            ones = np.flatnonzero(bitmap)
            if len(ones) != count or ones[-1] < len(bitmap) - 8 or planes[:, count:].any():
                return False
            quotients = np.diff(ones, prepend=-1) - 1
            if (quotients > dim >> width).any():
                return False
            remainders = (1 << np.arange(width)) @ planes[:, :count]
            gaps_k = (quotients << width) | remainders
        if not 0 <= gaps_k.min() <= gaps_k.max() < dim:
            return False
        indices[:] = np.cumsum(gaps_k + 1) + (after - 1)
        after = int(indices[-1]) + 1
        if after > dim:
            return False
    return True


def _blocks(entries_k: Array) -> Iterator[Array]:
    for start in range(0, len(entries_k), BLOCK):
        yield entries_k[start : start + BLOCK]


def _packed(bits: Array) -> Array:
    return np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little").ravel()
