"""Indices into the bits of their gaps, a thread's blocks: see `regtopk_bench.kernels.gaps`."""

from __future__ import annotations

from typing import Any

import numpy as np

from regtopk_bench.kernels.gaps import BLOCK, RAW, WIDEST, Array
from regtopk_bench.kernels.numba_cpu.in_cache import compiled
from regtopk_bench.kernels.numba_cpu.vector import LANES, bit_plane

PLANE = BLOCK // LANES
"""Words that hold one bit of every remainder of a block."""

MAP_WORDS = 32
"""Words that hold a bitmap, of 255 bytes at most."""


@compiled
def sizes(indices_Nk: Array, counts_N: Array, index_bytes: int, found_N: Array) -> None:
    """Write how many bytes the first entries of each row take, or -1 if they do not ascend."""
    gaps = np.empty(BLOCK, np.uint32)
    for n in range(min(len(indices_Nk), len(counts_N), len(found_N))):
        size, entries = np.int64(0), min(counts_N[n], indices_Nk.shape[1])
        for start in range(0, entries, BLOCK):
            count = min(BLOCK, entries - start)
            total, largest = _subtract(indices_Nk[n], start, gaps[:count])
            if largest < 0:
                size = np.int64(-1)
                break
            width, map_bytes = _narrowest(gaps[:count], total, largest, index_bytes)
            size += 1 + (width != RAW) + low_bytes(count, width, index_bytes) + map_bytes
        found_N[n] = size


@compiled
def write(
    indices_k: Array,
    index_bytes: int,
    first: int,
    last: int,
    widths: Array,
    maps: Array,
    out: Array,
) -> Any:
    """Write the blocks of a piece; return their bytes, or -1 if indices do not ascend."""
    gaps, bitmap = np.zeros(BLOCK, np.uint32), np.empty(MAP_WORDS, np.uint64)
    planes = np.empty(WIDEST * PLANE, np.uint64)
    at = np.int64(0)
    for block in range(first, min(last, len(widths), len(maps))):
        start = block * BLOCK
        count = min(BLOCK, len(indices_k) - start)
        if count < 1:
            return np.int64(-1)
        total, largest = _subtract(indices_k, start, gaps[:count])
        if largest < 0:
            return np.int64(-1)
        width, map_bytes = _narrowest(gaps[:count], total, largest, index_bytes)
        widths[block], maps[block] = width, map_bytes
        size = low_bytes(count, width, index_bytes)
        if at + size + map_bytes > len(out):
            return np.int64(-1)
        if width == RAW:
            before = indices_k[start - 1] if start else np.int64(-1)
            for i in range(count):
                gap = indices_k[start + i] - before - 1
                before = indices_k[start + i]
                for byte in range(index_bytes):
                    out[at] = gap >> (8 * byte) & 255
                    at += 1
        else:
            gaps[count:] = 0
            _mark(gaps[:count], width, bitmap)
            _transpose(gaps, count, width, planes)
            copy(planes.view(np.uint8), 0, out, at, size)
            copy(bitmap.view(np.uint8), 0, out, at + size, map_bytes)
            at += size + map_bytes
    return at


@compiled
def write_header(widths: Array, maps: Array, out: Array) -> Any:
    """Say how blocks are written; return in how many bytes, or -1 if there is no room."""
    end = len(widths)
    if len(out) < 2 * end:
        return np.int64(-1)
    for block in range(min(len(widths), len(maps))):
        out[block] = widths[block]
        if widths[block] != RAW:
            out[end] = maps[block]
            end += 1
    return end


@compiled
def _subtract(indices_k: Array, start: int, gaps: Array) -> tuple[Any, Any]:
    """Write the lower 32 bits of a block's gaps.

    Returns the sum of the gaps, and a number at least as large as the largest and below twice as
    large; negative if the indices do not ascend.
    """
    count = len(gaps)
    before = indices_k[start - 1] if start else np.int64(-1)
    bits = indices_k[start] - before - 1
    gaps[0] = bits
    for i in range(1, count):
        here = np.uintp(start + i)
        gap = indices_k[here] - indices_k[here - np.uintp(1)] - 1
        gaps[np.uintp(i)] = gap
        bits |= gap
    return indices_k[start + count - 1] - before - count, bits


@compiled
def _narrowest(gaps: Array, total: Any, largest: Any, index_bytes: int) -> tuple[Any, Any]:
    """Return the width with which a block is shortest, and the bytes of its bitmap."""
    if largest >> 32:
        return np.int64(RAW), np.int64(0)
    count = np.int64(len(gaps))
    guess, mean = np.int64(0), total // count
    while mean >> guess > 3:
        guess += 1
    narrow = middle = wide = np.uint32(0)
    for i in range(len(gaps)):
        quotient = gaps[np.uintp(i)] >> np.uint32(guess)
        narrow += quotient
        middle += quotient >> np.uint32(1)
        wide += quotient >> np.uint32(2)
    width, quotients = guess, np.int64(narrow)
    if np.int64(middle) + count < quotients:
        width, quotients = guess + 1, np.int64(middle)
    if np.int64(wide) + (guess + 2 - width) * count < quotients:
        width, quotients = guess + 2, np.int64(wide)
    map_bytes = (quotients + count + 7) >> 3
    shorter = 1 + low_bytes(count, width, index_bytes) + map_bytes <= count * index_bytes
    if width > WIDEST or map_bytes > 255 or not shorter:
        return np.int64(RAW), np.int64(0)
    return width, map_bytes


@compiled
def low_bytes(count: Any, width: Any, index_bytes: int) -> Any:
    """Return the bytes of a block without its bitmap."""
    return np.int64(count * index_bytes) if width == RAW else width * ((count + 7) >> 3)


@compiled
def _mark(gaps: Array, width: Any, bitmap: Array) -> None:
    """Write the bitmap of quotients, of which there is room for more than 255 bytes."""
    one = mapped = np.uint32(0)
    word = np.uint64(0)
    bitmap[:] = 0
    # Words are completed in a register: one read back from memory would be waited for.
    for i in range(len(gaps)):
        one += gaps[np.uintp(i)] >> np.uint32(width)
        at = one >> np.uint32(6)
        before = word if at == mapped else np.uint64(0)
        word = before | np.uint64(1) << np.uint64(one & np.uint32(63))
        bitmap[np.uintp(at & np.uint32(MAP_WORDS - 1))] = word
        mapped = at
        one += np.uint32(1)


@compiled
def _transpose(gaps: Array, count: int, width: Any, planes: Array) -> None:
    """Write the remainders bit by bit."""
    for bit in range(width):
        for i in range(PLANE):
            planes[bit * PLANE + i] = bit_plane(gaps, i * LANES, np.uint32(bit))
    plane_bytes, content = (count + 7) >> 3, planes.view(np.uint8)
    if count < BLOCK:  # the last block is shorter: its planes move together
        for bit in range(1, width):
            copy(content, bit * 8 * PLANE, content, bit * plane_bytes, plane_bytes)


@compiled
def copy(source: Array, source_at: Any, target: Array, target_at: Any, count: Any) -> None:
    """Copy bytes, all of which must exist."""
    for i in range(count):
        target[np.uintp(target_at + i)] = source[np.uintp(source_at + i)]
