"""Compiled loops over what the passes found: the threshold, and entries to write or put back."""

from __future__ import annotations

from typing import Any

import numpy as np

from regtopk_bench.kernels.numba_cpu.in_cache import compiled
from regtopk_bench.kernels.numba_cpu.passes import BINS, Array
from regtopk_bench.kernels.numba_cpu.vector import LANES, count_bits, lowest_bit

_DENSE = LANES // 4
"""From this many marks in a word, writing all lanes is cheaper than finding the marked ones."""


@compiled
def put_back(residual_J: Array, positions: Array, values: Array) -> None:
    """Put back the entries that were taken out."""
    for i in range(len(positions)):
        residual_J[positions[i]] = values[i]


@compiled
def keep(
    residual_J: Array,
    positions: Array,
    values: Array,
    bits: Array,
    listed: Array,
    at: Any,
    kept: Array,
    starts: Array,
    piece: int,
    stop: int,
    positions_k: Array,
    values_k: Array,
) -> bool:
    """Write the taken entries above a threshold and the first equal ones; put back the others.

    Args:
        residual_J: The row.
        positions: Taken entries, a row for each piece.
        values: Their values.
        bits: Their scores.
        listed: How many there are in each piece.
        at: The threshold.
        kept: How many equal ones to write, for each piece.
        starts: Where the outputs of each piece start, and where those of the last end.
        piece: The first piece.
        stop: One past the last piece.
        positions_k: Receives indices.
        values_k: Receives values.

    Returns:
        Whether all that is written is finite.
    """
    finite = True
    while piece < stop:
        write, room = starts[piece], kept[piece]
        for i in range(listed[piece]):
            score, value = bits[piece, i], values[piece, i]
            equal = score == at
            if score > at or (equal and room > 0):
                room -= equal
                positions_k[write], values_k[write] = positions[piece, i], value
                finite &= abs(value) < np.inf
                write += 1
            else:
                residual_J[positions[piece, i]] = value
        piece += 1
    return finite


@compiled
def _kth_largest(bits: Array, k: int) -> Any:
    """Return the k-th largest of scores in a narrow range: from one bin of a histogram."""
    smallest, largest, shift = bits.min(), bits.max(), 0
    while (largest - smallest) >> shift >= BINS:
        shift += 1
    counts = np.zeros(BINS, np.int64)
    for i in range(len(bits)):
        counts[(bits[i] - smallest) >> shift] += 1
    bin_of_kth, wanted = BINS - 1, k
    while counts[bin_of_kth] < wanted:
        wanted -= counts[bin_of_kth]
        bin_of_kth -= 1
    members = np.empty(counts[bin_of_kth] + 1, bits.dtype)
    count = 0
    for i in range(len(bits)):
        members[count] = bits[i]
        count += (bits[i] - smallest) >> shift == bin_of_kth
        if count == counts[bin_of_kth]:
            break
    return np.partition(members[:count], count - wanted)[count - wanted]


@compiled
def settle(bits: Array, listed: Array, sure: Array, k: int) -> tuple[Any, Array, Array]:
    """Find the k-th largest score, and where the selected entries of each piece are written.

    Args:
        bits: Listed scores, a row for each piece.
        listed: How many there are in each.
        sure: How many larger scores there are in each, fewer than k in all.
        k: At most the number of larger and listed scores together.

    Returns:
        The k-th largest; how many scores equal to it each piece contributes, earlier pieces
        first; and where the outputs of each piece start, and those of the last end.
    """
    pieces = len(listed)
    found = np.empty(listed.sum(), bits.dtype)
    count = 0
    for piece in range(pieces):
        found[count : count + listed[piece]] = bits[piece, : listed[piece]]
        count += listed[piece]
    at = _kth_largest(found, k - sure.sum())
    kept, starts = np.zeros_like(listed), np.zeros(pieces + 1, np.int64)
    room = k - sure.sum()
    for piece in range(pieces):
        starts[piece + 1] = sure[piece]
        for i in range(listed[piece]):
            starts[piece + 1] += bits[piece, i] > at
            kept[piece] += bits[piece, i] == at
        room -= starts[piece + 1] - sure[piece]
    for piece in range(pieces):
        kept[piece] = min(kept[piece], room)
        room -= kept[piece]
        starts[piece + 1] += starts[piece] + kept[piece]
    return at, kept, starts


@compiled
def mark(words: Array, positions: Array, bits: Array, at: Any, room: int) -> None:
    """Mark the listed scores above a threshold, and the first `room` that equal it."""
    for i in range(len(bits)):
        equal = bits[i] == at
        if bits[i] > at or (equal and room > 0):
            room -= equal
            j = positions[i]
            words[j // LANES] |= np.uint64(1) << np.uint64(j % LANES)


@compiled
def emit(
    residual_J: Array,
    start: int,
    stop: int,
    words: Array,
    keep: bool,
    positions_k: Array,
    values_k: Array,
) -> bool:
    """Write the marked entries, which fill the outputs exactly; set them to 0 unless kept.

    Returns whether all of them are finite.
    """
    write, gathered, room, finite = 0, 0, len(positions_k), True
    # Enough entries to have many cache misses under way at once, few enough to stay in cache.
    size = LANES * max(16, min(1024, 2048 * (stop - start) // LANES // (room + 1)))
    for batch in range(start, stop, size):
        for at in range(batch, min(batch + size, stop), LANES):
            mask = words[at // LANES]
            if count_bits(mask) >= _DENSE and write + LANES < room:
                for lane in range(LANES):  # every lane writes, only marked ones advance
                    positions_k[write] = at + lane
                    write += int((mask >> np.uint64(lane)) & np.uint64(1))
                continue
            while mask != 0:
                positions_k[write] = at + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                write += 1
        for i in range(gathered, write):
            j = np.uintp(positions_k[i])
            value = residual_J[j]
            values_k[i] = value
            finite &= abs(value) < np.inf
            if not keep:
                residual_J[j] = 0.0
        gathered = write
    return finite
