"""The compiled loops of the one-pass step, each over one thread's piece of a row.

Scores are compared by their bits as integers. Corrected entries are ascending: a walk along
them spreads their factors over a tile that stays in cache, and takes them away again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.kernels.numba_cpu.in_cache import compiled
from regtopk_bench.kernels.numba_cpu.vector import (
    LANES,
    accumulate_and_compare,
    compare,
    count_bits,
    lowest_bit,
)

Array = NDArray[Any]

BINS = 2**11
"""Bins of a histogram."""

_TILE = 64 * LANES
_DENSE = LANES // 4


@compiled
def _first_from(corrected_k: Array, bound: int, low: int, high: int) -> int:
    """Return the first place from `low` to `high` whose entry reaches a bound."""
    while low < high:
        middle = (low + high) >> 1
        if corrected_k[np.uintp(middle)] < bound:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _spread_factors(
    corrected_k: Array, factors_k: Array, first: int, tile: int, stop: int, factors: Array
) -> int:
    """Write the factors of a tile to their places; return the first corrected entry behind it."""
    last = min(first + stop - tile, len(corrected_k))
    last = _first_from(corrected_k, stop, first, last)
    for i in range(first, last):
        factors[np.uintp(corrected_k[i] - tile)] = factors_k[i]
    return last


@compiled
def _take_factors_away(
    corrected_k: Array, first: int, last: int, tile: int, factors: Array
) -> None:
    """Make every factor 1 again."""
    if last - first > _TILE // 64:
        factors[:] = 1.0
    else:
        for i in range(first, last):
            factors[np.uintp(corrected_k[i] - tile)] = 1.0


@compiled
def _score_end(
    residual_J: Array,
    grad_J: Array | None,
    corrected_k: Array,
    factors_k: Array,
    start: int,
    stop: int,
    scores: Array,
) -> Any:
    """Add the gradient, if there is one, and score what is less than a block; return its mask."""
    upcoming = _first_from(corrected_k, start, 0, len(corrected_k))
    for j in range(start, stop):
        if grad_J is not None:
            residual_J[j] += grad_J[j]
        factor = residual_J.dtype.type(1.0)
        if upcoming < len(corrected_k) and corrected_k[upcoming] == j:
            factor = factors_k[upcoming]
            upcoming += 1
        scores[j - start] = abs(residual_J[j] * factor)
    return (np.uint64(1) << np.uint64(stop - start)) - np.uint64(1)


@compiled
def take(
    residual_J: Array,
    grad_J: Array,
    corrected_k: Array,
    factors_k: Array,
    start: int,
    stop: int,
    low: Any,
    high: float,
    positions: Array,
    values: Array,
    scores: Array,
    band: Array,
) -> tuple[int, int, int]:
    """Add the gradient, and take out of the row every entry whose score reaches `low`.

    Arguments are those of `scan`; besides, `values` receives a, and `band` the scores
    below `high`, which is a score here, not its bits.
    Returns how many are taken out, how many of those are in the band, and how many more reach
    `low`, for which there is no room.
    """
    factors = np.ones(_TILE, residual_J.dtype)
    taken = between = missed = 0
    upcoming = _first_from(corrected_k, start, 0, len(corrected_k))
    for tile in range(start, stop, _TILE):
        tile_stop, first = min(tile + _TILE, stop), upcoming
        upcoming = _spread_factors(corrected_k, factors_k, upcoming, tile, tile_stop, factors)
        for at in range(tile, tile_stop - LANES + 1, LANES):
            reached, _ = accumulate_and_compare(
                residual_J, grad_J, at, factors, at - tile, low, low
            )
            if reached == 0:
                continue
            if taken + LANES > len(positions):
                missed += count_bits(reached)
                continue
            while reached != 0:
                j = np.uintp(at + lowest_bit(reached))
                reached &= reached - np.uint64(1)
                value = residual_J[j]
                score = abs(value * factors[j - np.uintp(tile)])
                positions[taken], values[taken], scores[taken] = j, value, score
                band[between] = score
                between += score < high
                residual_J[j] = 0.0
                taken += 1
        _take_factors_away(corrected_k, first, upcoming, tile, factors)
    end, whole = np.zeros(LANES, residual_J.dtype), stop - (stop - start) % LANES
    reached = _score_end(residual_J, grad_J, corrected_k, factors_k, whole, stop, end)
    reached &= compare(end, 0, factors, 0, low, low)[0]
    if taken + LANES > len(positions):
        missed += count_bits(reached)
        reached = np.uint64(0)
    while reached != 0:
        lane = lowest_bit(reached)
        j = whole + lane
        reached &= reached - np.uint64(1)
        positions[taken], values[taken], scores[taken] = j, residual_J[j], end[lane]
        band[between] = end[lane]
        between += end[lane] < high
        residual_J[j] = 0.0
        taken += 1
    return taken, between, missed


@compiled
def put_back(residual_J: Array, positions: Array, values: Array) -> None:
    """Undo the taking out of entries."""
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
        stop: The last piece and one.
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
        k: At most those and the listed ones together.

    Returns:
        The k-th largest, how many scores that equal it each piece gives, the first ones
        first, and where the outputs of each piece start, and those of the last end.
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
def scan(
    residual_J: Array,
    grad_J: Array | None,
    corrected_k: Array,
    factors_k: Array,
    start: int,
    stop: int,
    low: Any,
    high: Any,
    words: Array,
    positions: Array,
    scores: Array,
) -> tuple[int, int]:
    """Add the gradient, mark every score that reaches `high`, list those from `low` to it.

    Args:
        residual_J: ε, becomes a = ε + g.
        grad_J: g, or None if a is stored already.
        corrected_k: Ascending indices whose score is multiplied.
        factors_k: By what.
        start: Where the piece starts, a multiple of 64.
        stop: Where it ends.
        low: Bits of the lower bound.
        high: Bits of the upper bound.
        words: Receives the marks, a bit for each element of the row.
        positions: Receives where the listed scores are, as far as there is room.
        scores: Receives the listed scores.

    Returns:
        How many are marked, and how many are from `low` to `high`.
    """
    factors = np.ones(_TILE, residual_J.dtype)
    marked = listed = 0
    upcoming = _first_from(corrected_k, start, 0, len(corrected_k))
    for tile in range(start, stop, _TILE):
        tile_stop, first = min(tile + _TILE, stop), upcoming
        upcoming = _spread_factors(corrected_k, factors_k, upcoming, tile, tile_stop, factors)
        for at in range(tile, tile_stop - LANES + 1, LANES):
            if grad_J is None:
                reached, sure = compare(residual_J, at, factors, at - tile, low, high)
            else:
                reached, sure = accumulate_and_compare(
                    residual_J, grad_J, at, factors, at - tile, low, high
                )
            words[at // LANES] = sure
            marked += count_bits(sure)
            reached &= ~sure
            if reached == 0:
                continue
            if listed + LANES > len(positions):
                listed += count_bits(reached)
                continue
            while reached != 0:
                j = np.uintp(at + lowest_bit(reached))
                reached &= reached - np.uint64(1)
                positions[listed] = j
                scores[listed] = abs(residual_J[j] * factors[j - np.uintp(tile)])
                listed += 1
        _take_factors_away(corrected_k, first, upcoming, tile, factors)
    end, whole = np.zeros(LANES, residual_J.dtype), stop - (stop - start) % LANES
    inside = _score_end(residual_J, grad_J, corrected_k, factors_k, whole, stop, end)
    reached, sure = compare(end, 0, factors, 0, low, high)
    if whole < stop:
        words[whole // LANES] = sure & inside
        marked += count_bits(sure & inside)
    reached &= inside & ~sure
    if listed + LANES > len(positions):
        listed += count_bits(reached)
        reached = np.uint64(0)
    while reached != 0:
        lane = lowest_bit(reached)
        reached &= reached - np.uint64(1)
        positions[listed], scores[listed] = whole + lane, end[lane]
        listed += 1
    return marked, listed


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
def mark_equal(
    residual_J: Array,
    bits_J: Array,
    corrected_k: Array,
    factors_k: Array,
    start: int,
    stop: int,
    words: Array,
    at: Any,
    room: int,
) -> None:
    """Mark the first `room` scores that equal a threshold, where there are too many to list."""
    score = np.empty(1, residual_J.dtype)
    bits = score.view(bits_J.dtype)
    upcoming = _first_from(corrected_k, start, 0, len(corrected_k))
    for j in range(start, stop):
        score[0] = abs(residual_J[j])
        if upcoming < len(corrected_k) and corrected_k[upcoming] == j:
            score[0] = abs(residual_J[j] * factors_k[upcoming])
            upcoming += 1
        if bits[0] == at and room > 0:
            room -= 1
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
    """Write the marked entries, which the outputs hold exactly; set them to 0 unless kept.

    Returns whether all of them are finite.
    """
    write, gathered, room, finite = 0, 0, len(positions_k), True
    # Enough entries to have many cache misses under way at once, few enough to stay in cache.
    size = LANES * max(16, min(1024, 2048 * (stop - start) // LANES // (room + 1)))
    for batch in range(start, stop, size):
        for at in range(batch, min(batch + size, stop), LANES):
            mask = words[at // LANES]
            if count_bits(mask) >= _DENSE and write + LANES < room:
                for lane in range(LANES):  # every lane writes, only the marked ones move on
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


@compiled
def histogram(
    residual_J: Array,
    bits_J: Array,
    corrected_k: Array,
    factors_k: Array,
    start: int,
    stop: int,
    base: Any,
    shift: int,
) -> Array:
    """Count scores by the distance of their bits from `base` in steps of 2 to the `shift`.

    The last bin takes all that are further; scores below the base are not counted.
    """
    counts = np.zeros(BINS, np.int64)
    tile_scores = np.empty(_TILE, residual_J.dtype)
    bits = tile_scores.view(bits_J.dtype)
    upcoming = _first_from(corrected_k, start, 0, len(corrected_k))
    for tile in range(start, stop, _TILE):
        size = min(_TILE, stop - tile)
        for i in range(size):
            tile_scores[i] = abs(residual_J[tile + i])
        while upcoming < len(corrected_k) and corrected_k[upcoming] < tile + size:
            j = corrected_k[upcoming]
            tile_scores[j - tile] = abs(residual_J[j] * factors_k[upcoming])
            upcoming += 1
        for i in range(size):
            if bits[i] >= base:
                counts[min((bits[i] - base) >> shift, BINS - 1)] += 1
    return counts


@compiled
def sample(
    residual_J: Array,
    grad_J: Array | None,
    corrected_k: Array,
    factors_k: Array,
    stride: int,
    scores: Array,
) -> None:
    """Score blocks of 64 elements, `stride` apart."""
    for block in range(len(scores) // LANES):
        at = block * stride
        for lane in range(LANES):
            accumulated = residual_J[at + lane]
            if grad_J is not None:
                accumulated += grad_J[at + lane]
            scores[block * LANES + lane] = abs(accumulated)
        upcoming = _first_from(corrected_k, at, 0, len(corrected_k))
        while upcoming < len(corrected_k) and corrected_k[upcoming] < at + LANES:
            scores[block * LANES + corrected_k[upcoming] - at] *= factors_k[upcoming]
            upcoming += 1
