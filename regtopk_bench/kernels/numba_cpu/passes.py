"""Compiled passes over one thread's piece of a row: what a step reads and writes in memory.

Scores are compared by their bits as integers. Corrected entries are ascending: a walk along
them spreads their factors over a tile that stays in cache, and clears them again.
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


@compiled
def can_correct(corrected_k: Array, factors_k: Array, dim: int) -> bool:
    """Tell whether corrected entries are ascending and of the row, and their factors numbers."""
    count = len(corrected_k)
    if count == 0:
        return True
    disorder = corrected_k[0] < 0 or corrected_k[count - 1] >= dim
    for i in range(1, count):
        disorder |= corrected_k[i] <= corrected_k[i - 1]
    for i in range(count):
        disorder |= factors_k[i] != factors_k[i]
    return not disorder


@compiled
def _first_from(corrected_k: Array, bound: int, low: int, high: int) -> int:
    """Return the first position from `low` to `high` whose entry reaches a bound."""
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
    """Write a tile's factors to their places; return the first corrected entry after it."""
    last = min(first + stop - tile, len(corrected_k))
    last = _first_from(corrected_k, stop, first, last)
    for i in range(first, last):
        factors[np.uintp(corrected_k[i] - tile)] = factors_k[i]
    return last


@compiled
def _take_factors_away(
    corrected_k: Array, first: int, last: int, tile: int, factors: Array
) -> None:
    """Reset every factor to 1."""
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
    """Add the gradient, if any, and score the rest, less than a block; return its mask."""
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

    The arguments are those of `scan`; in addition, `values` receives a, and `band` the scores
    below `high`, which is a score here, not its bits.
    Returns how many are taken out, how many of those are in the band, and how many more reach
    `low` but find no room.
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
        corrected_k: Ascending indices whose score is corrected.
        factors_k: Their factors.
        start: Where the piece starts, a multiple of 64.
        stop: Where it ends.
        low: Bits of the lower bound.
        high: Bits of the upper bound.
        words: Receives the marks, a bit for each element of the row.
        positions: Receives the positions of the listed scores, as far as there is room.
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
    """Mark the first `room` scores equal to a threshold, when there are too many to list."""
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

    The last bin takes all that are further away; scores below the base are not counted.
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
