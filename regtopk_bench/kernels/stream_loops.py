"""The compiled loops of the one-pass step, each over a piece of a row or its candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.kernels.numba_cpu import compiled
from regtopk_bench.kernels.vector import LANES, accumulate_and_compare, compare, lowest_bit

Array = NDArray[Any]

BINS = 2**11
"""Bins of the histogram above a bound."""


@compiled
def accumulate(residual_J: Array, grad_J: Array, start: int, stop: int) -> None:
    """Add the gradient to a piece of a row."""
    for j in range(start, stop):
        residual_J[j] += grad_J[j]


@compiled
def scan(
    residual_J: Array,
    grad_J: Array,
    start: int,
    stop: int,
    low: Any,
    positions: Array,
    values: Array,
    count: int,
) -> tuple[int, int]:
    """Add the gradient and take out every entry whose magnitude reaches the bound.

    Without a gradient, an empty array, it takes out of what is stored. Returns where it
    stopped, early and at a multiple of 64 if there was no room left, and how many it has taken.
    """
    ends = np.zeros(2 * LANES, residual_J.dtype)  # the last elements, with zeros behind them
    for at in range(start, stop, LANES):
        if count + LANES > len(positions):
            return at, count
        if at + LANES <= stop and len(grad_J):
            mask = accumulate_and_compare(residual_J, grad_J, at, low)
        elif at + LANES <= stop:
            mask = compare(residual_J, at, low)
        else:
            ends[: stop - at] = residual_J[at:stop]
            if len(grad_J):
                ends[LANES : LANES + stop - at] = grad_J[at:stop]
                mask = accumulate_and_compare(ends, ends[LANES:], 0, low)
                residual_J[at:stop] = ends[: stop - at]
            else:
                mask = compare(ends, 0, low)
            mask &= (np.uint64(1) << np.uint64(stop - at)) - np.uint64(1)
        while mask != 0:
            j = at + np.int64(lowest_bit(mask))
            mask &= mask - np.uint64(1)
            positions[count], values[count] = j, residual_J[j]
            residual_J[j] = 0.0
            count += 1
    return stop, count


@compiled
def put_back(residual_J: Array, positions: Array, values: Array, count: int) -> None:
    """Undo the taking out of candidates."""
    for i in range(count):
        residual_J[positions[i]] = values[i]


@compiled
def score(
    positions: Array,
    values: Array,
    corrected_k: Array,
    factors_k: Array,
    first: int,
    scores: Array,
    bits: Array,
    low: Any,
) -> tuple[int, bool]:
    """Score candidates; return how many reach the bound, and whether all are finite.

    Candidates and corrected entries are both ascending: one walk along the two finds the pairs.
    """
    finite, at = True, first
    for i in range(len(bits)):
        magnitude, position = abs(values[i]), positions[i]
        finite &= magnitude < np.inf
        while at < len(corrected_k) and corrected_k[at] < position:
            at += 1
        if at < len(corrected_k) and corrected_k[at] == position:
            magnitude *= factors_k[at]
        scores[i] = magnitude
    reached = 0
    for i in range(len(bits)):
        reached += bits[i] >= low
    return reached, finite


@compiled
def histogram(bits_J: Array, mask: Any, shift: int, bins: int) -> Array:
    """Count the leading bits of magnitudes."""
    counts = np.zeros(bins, np.int64)
    for j in range(len(bits_J)):
        counts[min((bits_J[j] & mask) >> shift, bins - 1)] += 1
    return counts


@compiled
def histogram_above(bits: Array, low: Any, shift: int) -> Array:
    """Count the scores from the bound upwards; the last bin takes all that are larger."""
    counts = np.zeros(BINS, np.int64)
    for i in range(len(bits)):
        if bits[i] >= low:
            counts[min((bits[i] - low) >> shift, BINS - 1)] += 1
    return counts


@compiled
def members(bits: Array, low: Any, shift: int, wanted: int) -> Array:
    """Return the scores in one bin of that histogram."""
    found = np.empty(len(bits), bits.dtype)
    count = 0
    for i in range(len(bits)):
        found[count] = bits[i]
        count += bits[i] >= low and min((bits[i] - low) >> shift, BINS - 1) == wanted
    return found[:count]


@compiled
def count(bits: Array, at: Any) -> tuple[int, int]:
    """Return how many scores are above a threshold, and how many equal it."""
    above, equal = 0, 0
    for i in range(len(bits)):
        above += bits[i] > at
        equal += bits[i] == at
    return above, equal


@compiled
def emit(
    positions: Array,
    values: Array,
    bits: Array,
    at: Any,
    room: int,
    residual_J: Array,
    positions_k: Array,
    values_k: Array,
) -> None:
    """Write the candidates above the threshold and the first `room` equal ones; put back others.

    The outputs have exactly the room that is needed.
    """
    write, spare = 0, room
    for i in range(len(bits)):
        if write == len(positions_k):
            break
        equal = bits[i] == at
        kept = (bits[i] > at) | (equal & (spare > 0))
        spare -= equal
        positions_k[write], values_k[write] = positions[i], values[i]
        write += kept
    spare = room
    for i in range(len(bits)):
        if bits[i] <= at:
            if bits[i] == at:
                spare -= 1
            if bits[i] < at or spare < 0:
                residual_J[positions[i]] = values[i]
