"""Ascending indices as the bits of their gaps, in blocks: the definition, in plain NumPy.

A gap is how many entries lie between an index and the one before it. In a block of 256, every gap
g is written as a quotient and a remainder by a power of two, 2^w (Golomb-Rice coding: Rice and
Plaunt 1971). First come the remainders: the lowest bit of all of them, then the next, up to the
w-th, each in whole bytes. Then comes a bitmap of the quotients: g >> w zeros and a one for each.
Bits fill a byte from its lowest, and what is left of it is zero. Gaps between entries that are
selected independently of each other have a geometric distribution, for which this takes about 0.03
bits more than their entropy; each block has a w of its own, because layers differ in density. A
block that would be no shorter than its gaps in 4 bytes each (8 above 2³² entries), or has a gap
that needs more, is written in this way instead; its w is `RAW`. Before the first block come all w,
a byte each, and then the bytes of each bitmap, a byte for each block that has one.

`regtopk_bench.kernels.numba_cpu.gaps` has the same functions, compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 256
"""Entries in a block: as few as possible for a header of two bytes that does not show."""

RAW = 255

WIDEST = 32
"""The largest w: remainders have 32 bits at most."""


def room(entries: int, index_bytes: int) -> int:
    """Return how many bytes `write` must be given."""
    return entries * index_bytes + 2 * -(-entries // BLOCK)


def sizes(indices_Nk: Array, counts_N: Array, index_bytes: int) -> list[int]:
    """Return how many bytes `write` needs for the first entries of each row; -1 where it cannot."""
    rows = zip(indices_Nk, counts_N.tolist(), strict=True)
    return [
        write(indices_k[:count], index_bytes, np.empty(room(count, index_bytes), np.uint8))
        for indices_k, count in rows
    ]


def write(indices_k: Array, index_bytes: int, out: Array) -> int:
    """Write indices, each block with the w that makes it shortest.

    Three are tried, around that of the mean gap; of equals, the smaller is chosen.

    Args:
        indices_k: int64 (k,).
        index_bytes: 4, or 8 above 2³² entries.
        out: Bytes to write to, as many as `room` says.

    Returns:
        How many were written, or -1 if the indices are not from 0 up and ascending.
    """
    gaps_k = np.diff(indices_k, prepend=-1) - 1
    if (gaps_k < 0).any():
        return -1
    written = [_block(gaps_k[at : at + BLOCK], index_bytes) for at in range(0, len(gaps_k), BLOCK)]
    widths = bytes(width for width, *_ in written)
    maps = bytes(len(bitmap) for width, _, bitmap in written if width != RAW)
    content = b"".join([widths, maps, *(each for _, *block in written for each in block)])
    out[: len(content)] = np.frombuffer(content, np.uint8)
    return len(content)


def _block(gaps: Array, index_bytes: int) -> tuple[int, bytes, bytes]:
    """Return the width of a block, its remainders or raw gaps, and its bitmap."""
    count = len(gaps)
    guess = max(0, (int(gaps.sum()) // count).bit_length() - 2)
    bits = {w: count * (w + 1) + int((gaps >> w).sum()) for w in range(guess, guess + 3)}
    width = min(bits, key=lambda w: (bits[w], w))
    map_bytes = (bits[width] - count * width + 7) // 8
    size = (count + 7) // 8 * width + map_bytes
    if gaps.max() >= 2**32 or width > WIDEST or 1 + size > count * index_bytes:
        return RAW, gaps.view(np.uint8).reshape(-1, 8)[:, :index_bytes].tobytes(), b""
    bitmap = np.zeros(8 * map_bytes, np.uint8)
    bitmap[np.cumsum((gaps >> width) + 1) - 1] = 1
    return width, _packed(gaps >> np.arange(width)[:, None] & 1), _packed(bitmap)


def _packed(bits: Array) -> bytes:
    return np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little").tobytes()


def read(content: Array, index_bytes: int, dim: int, out: Array) -> int:
    """Read as many indices as there is room for; return how many bytes they took.

    Returns -1 if they are cut short, or not ascending from 0 to `dim` - 1; if a bitmap has not as
    many ones as its block has entries, or is longer than it needs to be; or if anything but zeros
    is left of a byte.
    """
    blocks, after = -(-len(out) // BLOCK), 0
    widths, maps = content[:blocks].tolist(), iter(content[blocks:].tolist())
    start = blocks + sum(width != RAW for width in widths)
    if len(widths) < blocks or start > len(content):
        return -1
    for block, width in enumerate(widths):
        indices = out[block * BLOCK : (block + 1) * BLOCK]
        raw, map_bytes = width == RAW, 0 if width == RAW else next(maps)
        size = len(indices) * index_bytes if raw else (len(indices) + 7) // 8 * width
        middle, end = start + size, start + size + map_bytes
        if end > len(content) or not (raw or width <= WIDEST):
            return -1
        if raw:
            gaps = _raw_gaps(content[start:end], index_bytes)
        else:
            gaps = _gaps(content[start:middle], content[middle:end], width, len(indices), dim)
        if not len(gaps) or not 0 <= gaps.min() <= gaps.max() < dim:
            return -1
        indices[:] = np.cumsum(gaps + 1) + (after - 1)
        start, after = end, int(indices[-1]) + 1
        if after > dim:
            return -1
    return int(start)


def _raw_gaps(content: Array, index_bytes: int) -> Array:
    gaps = np.zeros((len(content) // index_bytes, 8), np.uint8)
    gaps[:, :index_bytes] = content.reshape(-1, index_bytes)
    return gaps.view("<i8").ravel()


def _gaps(lows: Array, bitmap: Array, width: int, count: int, dim: int) -> Array:
    """Return the gaps of a block; none if it is damaged."""
    planes = np.unpackbits(lows, bitorder="little").reshape(width, (count + 7) // 8 * 8)
    ones = np.flatnonzero(np.unpackbits(bitmap, bitorder="little"))
    if len(ones) != count or ones[-1] < 8 * len(bitmap) - 8 or planes[:, count:].any():
        return ones[:0]
    quotients = np.diff(ones, prepend=-1) - 1
    if (quotients > dim >> width).any():
        return ones[:0]
    return np.asarray((quotients << width) | (1 << np.arange(width)) @ planes[:, :count])
