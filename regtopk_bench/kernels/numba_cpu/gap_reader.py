"""Indices out of the bits of their gaps, a thread's blocks: see `regtopk_bench.kernels.gaps`.

What is read may be damaged: nothing in it is used before it is known to lead nowhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from regtopk_bench.kernels.gaps import BLOCK, RAW, WIDEST, Array
from regtopk_bench.kernels.numba_cpu.gap_writer import MAP_WORDS, PLANE, copy, low_bytes
from regtopk_bench.kernels.numba_cpu.in_cache import compiled
from regtopk_bench.kernels.numba_cpu.vector import LANES, count_bits, lowest_bit, set_bit_plane


@compiled
def place(content: Array, index_bytes: int, entries: int, maps: Array, starts: Array) -> Any:
    """Find the bitmaps' bytes and where blocks begin; return where the last ends, or -1."""
    blocks = (entries + BLOCK - 1) // BLOCK
    said = np.int64(blocks)
    if len(content) < blocks or min(len(maps), len(starts)) < blocks:
        return np.int64(-1)
    for block in range(blocks):
        maps[block] = 0
        if content[block] != RAW:
            if said >= len(content):
                return np.int64(-1)
            maps[block] = content[said]
            said += 1
    for block in range(blocks):
        starts[block] = said
        count = min(BLOCK, entries - block * BLOCK)
        said += low_bytes(count, np.int64(content[block]), index_bytes) + np.int64(maps[block])
    return said if said <= len(content) else np.int64(-1)


@compiled
def read(
    content: Array,
    index_bytes: int,
    first: int,
    last: int,
    maps: Array,
    starts: Array,
    dim: int,
    out: Array,
) -> Any:
    """Read the blocks of a piece as if they were the first.

    Returns one more than the last index, or -1 if they are damaged.
    """
    lows, planes = np.empty(BLOCK, np.uint32), np.empty(WIDEST * PLANE, np.uint64)
    bitmap = np.empty(MAP_WORDS, np.uint64)
    after = np.int64(0)
    for block in range(first, min(last, len(content), len(maps), len(starts))):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, len(out))
        count, width, map_bytes = stop - start, np.int64(content[block]), np.int64(maps[block])
        size, at = low_bytes(count, width, index_bytes), starts[block]
        if count < 1 or not 0 <= at <= len(content) - size - map_bytes:
            return np.int64(-1)
        if width == RAW:
            for i in range(start, stop):
                gap = np.uint64(0)
                for byte in range(index_bytes):
                    gap |= np.uint64(content[at]) << np.uint64(8 * byte)
                    at += 1
                if gap >= np.uint64(dim - after):
                    return np.int64(-1)
                after += np.int64(gap) + 1
                out[i] = after - 1
        elif width <= WIDEST:
            copy(content, at + size, bitmap.view(np.uint8), 0, map_bytes)
            zeros = _zeros(bitmap, map_bytes, count)
            if zeros < 0 or zeros > (dim - after) >> width:
                return np.int64(-1)
            if not _spread_out(content, at, count, width, planes, lows):
                return np.int64(-1)
            after = _add_up(bitmap, map_bytes, lows, width, after, out[start:stop])
            if after > dim:
                return np.int64(-1)
        else:
            return np.int64(-1)
    return after


@compiled
def _zeros(bitmap: Array, map_bytes: Any, count: int) -> Any:
    """Return how many zeros are between the ones of a bitmap; -1 if it is damaged.

    It must have as many ones as there are entries, and one of them in its last byte.
    """
    if map_bytes == 0:
        return np.int64(-1)
    words = (map_bytes + 7) >> 3
    bitmap[words - 1] &= ~np.uint64(0) >> np.uint64(64 * words - 8 * map_bytes)
    ones = 0
    for i in range(words):
        ones += count_bits(bitmap[np.uintp(i)])
    last = bitmap.view(np.uint8)[map_bytes - 1]
    if ones != count or last == 0:
        return np.int64(-1)
    end = 8 * map_bytes
    while last < 128:
        last <<= 1
        end -= 1
    return end - count


@compiled
def _spread_out(
    content: Array, at: int, count: int, width: Any, planes: Array, lows: Array
) -> bool:
    """Collect remainders from their planes; return False unless those are padded with zeros."""
    plane_bytes = (count + 7) >> 3
    if count == BLOCK:
        copy(content, at, planes.view(np.uint8), 0, width * plane_bytes)
    else:
        planes[:] = 0
        for bit in range(width):
            copy(
                content,
                at + bit * plane_bytes,
                planes.view(np.uint8),
                bit * 8 * PLANE,
                plane_bytes,
            )
    lows[:] = 0
    for bit in range(width):
        for i in range(PLANE):
            set_bit_plane(lows, i * LANES, np.uint32(bit), planes[bit * PLANE + i])
    return not lows[count:].any()


@compiled
def _add_up(bitmap: Array, map_bytes: Any, lows: Array, width: Any, after: Any, out: Array) -> Any:
    """Write the indices of a block, and return what is one more than the last of them."""
    found = np.int64(0)
    for i in range((map_bytes + 7) >> 3):
        word = bitmap[np.uintp(i)]
        while word:
            zeros = 64 * i + lowest_bit(word) - found
            word &= word - np.uint64(1)
            after += np.int64(lows[np.uintp(found)])
            out[np.uintp(found)] = (zeros << width) + found + after
            found += 1
    return out[found - 1] + 1
