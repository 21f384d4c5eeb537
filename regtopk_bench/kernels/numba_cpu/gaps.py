"""Ascending indices as the bits of their gaps, compiled: see `regtopk_bench.kernels.gaps`.

Threads share the blocks. A block is read in two loops, one from one to one in the bitmap and one
from remainder to remainder, so that neither waits for the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

from regtopk_bench.kernels.gaps import BLOCK, RAW, WIDEST, Array
from regtopk_bench.kernels.numba_cpu.in_cache import compiled
from regtopk_bench.kernels.numba_cpu.vector import (
    LANES,
    bit_plane,
    count_bits,
    lowest_bit,
    set_bit_plane,
)
from regtopk_bench.kernels.spread import spread

T = TypeVar("T")

_WORTH_A_THREAD = 2**6
"""Fewer blocks are finished before another thread has woken up."""

_PLANE = BLOCK // LANES
"""Words that hold one bit of every remainder of a block."""

_MAP_WORDS = 32  # up to 255 bytes


def sizes(indices_Nk: Array, counts_N: Array, index_bytes: int) -> list[int]:
    """See `regtopk_bench.kernels.gaps.sizes`."""
    found_N = np.empty(len(indices_Nk), np.int64)
    _sizes(indices_Nk, counts_N, index_bytes, found_N)
    return list(found_N.tolist())


def write(indices_k: Array, index_bytes: int, out: Array) -> int:
    """See `regtopk_bench.kernels.gaps.write`."""
    blocks = -(-len(indices_k) // BLOCK)
    widths, maps = np.empty((2, blocks), np.uint8)

    def write_piece(first: int, last: int) -> tuple[int, int]:
        start = 2 * blocks + first * BLOCK * index_bytes  # where there is room for any
        piece = out[start : 2 * blocks + last * BLOCK * index_bytes]
        return start, int(_write(indices_k, index_bytes, first, last, widths, maps, piece))

    found = _over_pieces(write_piece, blocks)
    if min(size for _, size in found) < 0:
        return -1
    end = int(_write_header(widths, maps, out))
    for start, size in found:
        if start > end:
            out[end : end + size] = out[start : start + size]
        end += size
    return end


def read(content: Array, index_bytes: int, dim: int, out: Array) -> int:
    """See `regtopk_bench.kernels.gaps.read`."""
    blocks = -(-len(out) // BLOCK)
    maps, starts = np.empty(blocks, np.uint8), np.empty(blocks, np.int64)
    end = int(_place(content, index_bytes, len(out), maps, starts))
    if end < 0:
        return -1

    def read_piece(first: int, last: int) -> tuple[Array, int]:
        after = _read(content, index_bytes, first, last, maps, starts, dim, out)
        return out[first * BLOCK : last * BLOCK], int(after)

    before = 0
    for piece_k, after in _over_pieces(read_piece, blocks):
        if not 0 <= after <= dim - before:
            return -1
        if before:  # each piece was read as if it were the first
            piece_k += before
        before += after
    return end


def _over_pieces(function: Callable[[int, int], T], blocks: int) -> list[T]:
    """Call a function for each thread's blocks, from a first to before a last."""
    pieces = max(1, min(torch.get_num_threads(), blocks // _WORTH_A_THREAD))
    bounds = [blocks * piece // pieces for piece in range(pieces + 1)]
    return spread(lambda piece: function(bounds[piece], bounds[piece + 1]), pieces)


@compiled
def _sizes(indices_Nk: Array, counts_N: Array, index_bytes: int, found_N: Array) -> None:
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
            size += 1 + (width != RAW) + _low_bytes(count, width, index_bytes) + map_bytes
        found_N[n] = size


@compiled
def _write(
    indices_k: Array,
    index_bytes: int,
    first: int,
    last: int,
    widths: Array,
    maps: Array,
    out: Array,
) -> Any:
    """Write the blocks of a piece; return their bytes, or -1 if indices do not ascend."""
    gaps, bitmap = np.zeros(BLOCK, np.uint32), np.empty(_MAP_WORDS, np.uint64)
    planes = np.empty(WIDEST * _PLANE, np.uint64)
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
        size = _low_bytes(count, width, index_bytes)
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
            _copy(planes.view(np.uint8), 0, out, at, size)
            _copy(bitmap.view(np.uint8), 0, out, at + size, map_bytes)
            at += size + map_bytes
    return at


@compiled
def _write_header(widths: Array, maps: Array, out: Array) -> int:
    """Say how blocks are written; return in how many bytes, or -1 if there is no room."""
    end = len(widths)
    if len(out) < 2 * end:
        return -1
    for block in range(min(len(widths), len(maps))):
        out[block] = widths[block]
        if widths[block] != RAW:
            out[end] = maps[block]
            end += 1
    return end


@compiled
def _place(content: Array, index_bytes: int, entries: int, maps: Array, starts: Array) -> Any:
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
        said += _low_bytes(count, np.int64(content[block]), index_bytes) + np.int64(maps[block])
    return said if said <= len(content) else np.int64(-1)


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
    shorter = 1 + _low_bytes(count, width, index_bytes) + map_bytes <= count * index_bytes
    if width > WIDEST or map_bytes > 255 or not shorter:
        return np.int64(RAW), np.int64(0)
    return width, map_bytes


@compiled
def _low_bytes(count: Any, width: Any, index_bytes: int) -> Any:
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
        bitmap[np.uintp(at & np.uint32(_MAP_WORDS - 1))] = word
        mapped = at
        one += np.uint32(1)


@compiled
def _transpose(gaps: Array, count: int, width: Any, planes: Array) -> None:
    """Write the remainders bit by bit."""
    for bit in range(width):
        for i in range(_PLANE):
            planes[bit * _PLANE + i] = bit_plane(gaps, i * LANES, np.uint32(bit))
    plane_bytes, content = (count + 7) >> 3, planes.view(np.uint8)
    if count < BLOCK:  # the last block is shorter: its planes move together
        for bit in range(1, width):
            _copy(content, bit * 8 * _PLANE, content, bit * plane_bytes, plane_bytes)


@compiled
def _copy(source: Array, source_at: Any, target: Array, target_at: Any, count: Any) -> None:
    for i in range(count):
        target[np.uintp(target_at + i)] = source[np.uintp(source_at + i)]


@compiled
def _read(
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
    lows, planes = np.empty(BLOCK, np.uint32), np.empty(WIDEST * _PLANE, np.uint64)
    bitmap = np.empty(_MAP_WORDS, np.uint64)
    after = np.int64(0)
    for block in range(first, min(last, len(content), len(maps), len(starts))):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, len(out))
        count, width, map_bytes = stop - start, np.int64(content[block]), np.int64(maps[block])
        size, at = _low_bytes(count, width, index_bytes), starts[block]
        if count < 1 or not 0 <= at <= len(content) - size - map_bytes:
            return -1
        if width == RAW:
            for i in range(start, stop):
                gap = np.uint64(0)
                for byte in range(index_bytes):
                    gap |= np.uint64(content[at]) << np.uint64(8 * byte)
                    at += 1
                if gap >= np.uint64(dim - after):
                    return -1
                after += np.int64(gap) + 1
                out[i] = after - 1
        elif width <= WIDEST:
            _copy(content, at + size, bitmap.view(np.uint8), 0, map_bytes)
            zeros = _zeros(bitmap, map_bytes, count)
            if zeros < 0 or zeros > (dim - after) >> width:
                return -1
            if not _spread_out(content, at, count, width, planes, lows):
                return -1
            after = _add_up(bitmap, map_bytes, lows, width, after, out[start:stop])
            if after > dim:
                return -1
        else:
            return -1
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
        _copy(content, at, planes.view(np.uint8), 0, width * plane_bytes)
    else:
        planes[:] = 0
        for bit in range(width):
            _copy(
                content,
                at + bit * plane_bytes,
                planes.view(np.uint8),
                bit * 8 * _PLANE,
                plane_bytes,
            )
    lows[:] = 0
    for bit in range(width):
        for i in range(_PLANE):
            set_bit_plane(lows, i * LANES, np.uint32(bit), planes[bit * _PLANE + i])
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
