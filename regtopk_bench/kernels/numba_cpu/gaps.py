"""Ascending indices as the bits of their gaps, compiled: see `regtopk_bench.kernels.gaps`.

Threads share the blocks. A block is read in two loops, one from one to one in the bitmap and one
from remainder to remainder, so that neither waits for the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

from regtopk_bench.kernels.gaps import BLOCK, RAW, WIDEST, Array, Blocks
from regtopk_bench.kernels.numba_cpu.in_cache import compiled
from regtopk_bench.kernels.numba_cpu.vector import count_bits, lowest_bit, unaligned_word
from regtopk_bench.kernels.spread import spread

T = TypeVar("T")

_WORTH_A_THREAD = 2**6
"""Fewer blocks are finished before another thread has woken up."""

_LOW_WORDS = BLOCK * WIDEST // 64 + 1  # one more, because eight bytes are read at a time
_MAP_WORDS = 32


def measure(indices_k: Array, index_bytes: int) -> tuple[Array, Array] | None:
    """See `regtopk_bench.kernels.gaps.measure`."""
    widths, maps = np.empty((2, -(-len(indices_k) // BLOCK)), np.uint8)

    def measure_piece(first: int, last: int) -> bool:
        return bool(_measure(indices_k, index_bytes, first, last, widths, maps))

    return (widths, maps) if all(_over_pieces(measure_piece, len(widths))) else None


def sizes(indices_Nk: Array, counts_N: Array, index_bytes: int) -> list[int]:
    """See `regtopk_bench.kernels.gaps.sizes`."""
    found_N = np.empty(len(indices_Nk), np.int64)
    _sizes(indices_Nk, counts_N, index_bytes, found_N)
    return found_N.tolist()


def write(indices_k: Array, index_bytes: int, blocks: Blocks, out: Array) -> bool:
    """See `regtopk_bench.kernels.gaps.write`."""
    how = blocks.widths, blocks.maps, blocks.starts

    def write_piece(first: int, last: int) -> bool:
        return bool(_write(indices_k, index_bytes, first, last, *how, out))

    return all(_over_pieces(write_piece, len(blocks.widths)))


def read(body: Array, index_bytes: int, blocks: Blocks, dim: int, out: Array) -> bool:
    """See `regtopk_bench.kernels.gaps.read`."""
    how = blocks.widths, blocks.maps, blocks.starts

    def read_piece(first: int, last: int) -> tuple[Array, int]:
        after = _read(body, index_bytes, first, last, *how, dim, out)
        return out[first * BLOCK : last * BLOCK], int(after)

    before = 0
    for piece_k, after in _over_pieces(read_piece, len(blocks.widths)):
        if not 0 <= after <= dim - before:
            return False
        if before:  # each piece was read as if it were the first
            piece_k += before
        before += after
    return True


def _over_pieces(function: Callable[[int, int], T], blocks: int) -> list[T]:
    """Call a function for each thread's blocks, from a first to before a last."""
    pieces = max(1, min(torch.get_num_threads(), blocks // _WORTH_A_THREAD))
    bounds = [blocks * piece // pieces for piece in range(pieces + 1)]
    return spread(lambda piece: function(bounds[piece], bounds[piece + 1]), pieces)


@compiled
def _narrowest(
    indices_k: Array, start: int, stop: int, before: Any, index_bytes: int
) -> tuple[Any, Any]:
    """Return a block's width and the bytes of its bitmap; -1 unless its indices ascend."""
    count = np.int64(stop - start)
    mean = (indices_k[stop - 1] - before) // count - 1
    guess = np.int64(0)
    while mean >> guess > 3:
        guess += 1
    least = narrow = middle = wide = np.int64(0)
    for i in range(start, stop):
        gap = indices_k[np.uintp(i)] - before - 1
        before = indices_k[np.uintp(i)]
        least = min(least, gap)
        narrow += gap >> guess
        middle += gap >> (guess + 1)
        wide += gap >> (guess + 2)
    if least < 0:
        return np.int64(-1), np.int64(0)
    width, quotients = guess, narrow
    if middle + count < quotients:
        width, quotients = guess + 1, middle
    if wide + (guess + 2 - width) * count < quotients:
        width, quotients = guess + 2, wide
    map_bytes = (quotients + count + 7) >> 3
    if width > WIDEST or 1 + ((count * width + 7) >> 3) + map_bytes > count * index_bytes:
        return np.int64(RAW), np.int64(0)
    return width, map_bytes


@compiled
def _measure(
    indices_k: Array, index_bytes: int, first: int, last: int, widths: Array, maps: Array
) -> bool:
    """Measure the blocks of a piece; return False unless their indices ascend."""
    for block in range(first, min(last, len(widths), len(maps))):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, len(indices_k))
        before = indices_k[start - 1] if start else np.int64(-1)
        width, map_bytes = _narrowest(indices_k, start, stop, before, index_bytes)
        if width < 0:
            return False
        widths[block], maps[block] = width, map_bytes
    return True


@compiled
def _sizes(indices_Nk: Array, counts_N: Array, index_bytes: int, found_N: Array) -> None:
    for n in range(min(len(indices_Nk), len(counts_N), len(found_N))):
        before, size = np.int64(-1), np.int64(0)
        entries = min(counts_N[n], indices_Nk.shape[1])
        for start in range(0, entries, BLOCK):
            stop = min(start + BLOCK, entries)
            width, map_bytes = _narrowest(indices_Nk[n], start, stop, before, index_bytes)
            before = indices_Nk[n, stop - 1]
            if width < 0:
                size = np.int64(-1)
                break
            if width == RAW:
                size += 1 + (stop - start) * index_bytes
            else:
                size += 2 + (((stop - start) * width + 7) >> 3) + map_bytes
        found_N[n] = size


@compiled
def _write(
    indices_k: Array,
    index_bytes: int,
    first: int,
    last: int,
    widths: Array,
    maps: Array,
    starts: Array,
    out: Array,
) -> bool:
    """Write the blocks of a piece; return False if they are not as they were measured."""
    lows, bitmap = np.empty(_LOW_WORDS, np.uint64), np.empty(_MAP_WORDS, np.uint64)
    gaps = np.empty(BLOCK, np.uint64)
    for block in range(first, min(last, len(widths), len(maps), len(starts))):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, len(indices_k))
        before = indices_k[start - 1] if start else np.int64(-1)
        for i in range(stop - start):
            index = indices_k[np.uintp(start + i)]
            gaps[np.uintp(i)] = np.uint64(index - before - 1)
            before = index
        width, map_bytes, at = np.int64(widths[block]), np.int64(maps[block]), starts[block]
        low_bytes = np.int64((stop - start) * index_bytes)
        if width != RAW:
            low_bytes = ((stop - start) * width + 7) >> 3
        if not 0 <= at <= len(out) - low_bytes - map_bytes:
            return False
        if width == RAW:
            for i in range(low_bytes):
                gap = gaps[i // index_bytes]
                out[at + i] = gap >> np.uint64(8 * (i % index_bytes)) & np.uint64(255)
        elif width <= WIDEST and _fill(gaps[: stop - start], width, map_bytes, lows, bitmap):
            _copy(lows.view(np.uint8), 0, out, at, low_bytes)
            _copy(bitmap.view(np.uint8), 0, out, at + low_bytes, map_bytes)
        else:
            return False
    return True


@compiled
def _fill(gaps: Array, width: Any, map_bytes: Any, lows: Array, bitmap: Array) -> bool:
    """Write remainders and quotients; return False if the bitmap is too short."""
    shift = np.uint64(width)
    mask, end = (np.uint64(1) << shift) - np.uint64(1), np.uint64(8 * map_bytes)
    bitmap[:] = 0
    # A word is collected in a register: to change it in memory, each entry would wait for the last.
    one = mapped = word = pending = filled = done = np.uint64(0)
    for i in range(len(gaps)):
        gap = gaps[np.uintp(i)]
        one += gap >> shift
        if one >= end:
            return False
        if one >> np.uint64(6) != mapped:
            bitmap[np.uintp(mapped)] = word
            mapped, word = one >> np.uint64(6), np.uint64(0)
        word |= np.uint64(1) << (one & np.uint64(63))
        one += np.uint64(1)
        low = gap & mask
        pending |= low << filled
        filled += shift
        if filled >= np.uint64(64):
            lows[np.uintp(done)] = pending
            done += np.uint64(1)
            filled -= np.uint64(64)
            pending = low >> (shift - filled)
    bitmap[np.uintp(mapped)], lows[np.uintp(done)] = word, pending
    return True


@compiled
def _copy(source: Array, source_at: int, target: Array, target_at: int, count: Any) -> None:
    for i in range(count):
        target[np.uintp(target_at + i)] = source[np.uintp(source_at + i)]


@compiled
def _read(
    body: Array,
    index_bytes: int,
    first: int,
    last: int,
    widths: Array,
    maps: Array,
    starts: Array,
    dim: int,
    out: Array,
) -> Any:
    """Read the blocks of a piece as if they were the first.

    Returns one more than the last index, or -1 if they are damaged.
    """
    lows, bitmap = np.zeros(_LOW_WORDS, np.uint64), np.zeros(_MAP_WORDS, np.uint64)
    ones = np.empty(BLOCK, np.int64)
    after = np.int64(0)
    for block in range(first, min(last, len(widths), len(maps), len(starts))):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, len(out))
        count = np.int64(stop - start)
        width, map_bytes, at = np.int64(widths[block]), np.int64(maps[block]), starts[block]
        low_bytes = count * index_bytes if width == RAW else (count * width + 7) >> 3
        if count < 1 or not 0 <= at <= len(body) - low_bytes - map_bytes:
            return -1
        if width == RAW:
            for i in range(start, stop):
                gap = np.uint64(0)
                for byte in range(index_bytes):
                    gap |= np.uint64(body[at]) << np.uint64(8 * byte)
                    at += 1
                if gap >= np.uint64(dim - after):
                    return -1
                after += np.int64(gap) + 1
                out[i] = after - 1
            continue
        if width > WIDEST:
            return -1
        if count * width & 7 and body[at + low_bytes - 1] >> (count * width & 7):
            return -1
        _copy(body, at, lows.view(np.uint8), 0, low_bytes)
        _copy(body, at + low_bytes, bitmap.view(np.uint8), 0, map_bytes)
        if not _find(bitmap, map_bytes, ones[:count]):
            return -1
        if ones[count - 1] + 1 - count > (dim - after) >> width:
            return -1
        after = _add_up(ones[:count], lows.view(np.uint8), width, after, out[start:stop])
        if after > dim:
            return -1
    return after


@compiled
def _find(bitmap: Array, map_bytes: Any, ones: Array) -> bool:
    """List the ones of a bitmap: so many, and the last in its last byte, or return False."""
    words = (map_bytes + 7) >> 3
    if words == 0:
        return False
    left = np.uint64(64 * words - 8 * map_bytes)
    bitmap[words - 1] &= ~np.uint64(0) >> left
    found = 0
    for i in range(words):
        found += count_bits(bitmap[np.uintp(i)])
    if found != len(ones):
        return False
    at = np.uintp(0)
    for i in range(words):
        word = bitmap[np.uintp(i)]
        while word:
            ones[at] = 64 * i + lowest_bit(word)
            word &= word - np.uint64(1)
            at += np.uintp(1)
    return bool(ones[len(ones) - 1] >> 3 == map_bytes - 1)


@compiled
def _add_up(ones: Array, lows: Array, width: Any, after: Any, out: Array) -> Any:
    """Write the indices of a block, given what is one more than the last index before it."""
    bit, shift = np.uint64(0), np.uint64(width)
    mask = (np.uint64(1) << shift) - np.uint64(1)
    for i in range(len(out)):
        at = np.uintp(i)
        low = unaligned_word(lows, bit >> np.uint64(3)) >> (bit & np.uint64(7))
        bit += shift
        after += np.int64(low & mask)
        out[at] = ((ones[at] - i) << width) + i + after
    return out[len(out) - 1] + 1
