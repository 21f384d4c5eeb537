"""The Triton programs of the step. Each works on one row, `program_id(1)`, and a part of it.

Scores are compared by their bits as integers. Through a row's control words, programs leave results
for later launches: the host reads nothing back, so the launches can be captured.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOW = tl.constexpr(0)
"""Bits of the bound that the magnitude of a shortlisted entry reaches."""
BOUND = tl.constexpr(1)
"""Bits of the guessed bound, which the k largest scores must reach."""
FACTOR = tl.constexpr(2)
"""Bits of the largest factor, or of 1."""
FOUND = tl.constexpr(3)
"""Shortlisted entries; more than there is room for if they overflow."""
HITS = tl.constexpr(4)
"""Shortlisted entries whose score reaches the bound."""
HOLDS = tl.constexpr(5)
"""1 if the k largest are on the shortlist."""
PREFIX = tl.constexpr(6)
"""The leading bits of the threshold; in the end, all of them."""
WANTED = tl.constexpr(7)
"""How many scores with the threshold's prefix are selected."""
SPOILT = tl.constexpr(8)
"""1 if a selected entry is not finite."""
WORDS = tl.constexpr(9)

LAST = tl.constexpr(0)
"""The last threshold, or 0."""
DRIFT = tl.constexpr(1)
"""How far thresholds move: see `Guess`."""
MISSES = tl.constexpr(2)
"""Rounds in which the guess did not hold."""
REMEMBERED = tl.constexpr(3)

DIGIT = tl.constexpr(11)
BINS = tl.constexpr(2**11)


@triton.jit
def _bits(values):
    """Return magnitudes as integers, which have the same order."""
    if values.dtype == tl.float32:
        return values.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    else:
        return values.to(tl.int64, bitcast=True) & 0x7FFFFFFFFFFFFFFF


@triton.jit
def _float(bits, like):
    """Return the float with these bits, of a pointer's element type."""
    if like.dtype.element_ty == tl.float32:
        return bits.to(tl.int32).to(tl.float32, bitcast=True)
    else:
        return bits.to(tl.int64).to(tl.float64, bitcast=True)


@triton.jit
def _infinity(bits):
    if bits.dtype == tl.int32:
        return tl.full((), 0x7F800000, tl.int32)
    else:
        return tl.full((), 0x7FF0000000000000, tl.int64)


@triton.jit
def _score(values, positions, mask, corrected, factors, count, steps, CORRECTED: tl.constexpr):
    """Return the bits of scores, finding the corrected positions among the ascending ones."""
    if not CORRECTED:
        return _bits(values)
    else:
        low = tl.zeros_like(positions)
        high = low + count
        for _ in range(steps):
            middle = (low + high) // 2
            searching = mask & (low < high)
            at = tl.load(corrected + middle, mask=searching, other=0)
            low = tl.where(searching & (at < positions), middle + 1, low)
            high = tl.where(searching & (at >= positions), middle, high)
        inside = mask & (low < count)
        found = inside & (tl.load(corrected + low, mask=inside, other=-1) == positions)
        return _bits(values * tl.load(factors + low, mask=found, other=1.0))


@triton.jit
def prepare(
    control, memory, residual, factors, count, CORRECTED: tl.constexpr, BLOCK: tl.constexpr
):
    """Turn the last threshold into bounds on scores and on magnitudes."""
    row = tl.program_id(1).to(tl.int64)
    control += row * WORDS
    memory += row * REMEMBERED
    lanes = tl.arange(0, BLOCK)
    largest = tl.full((BLOCK,), 1.0, residual.dtype.element_ty)
    if CORRECTED:
        for start in range(0, count, BLOCK):
            inside = start + lanes < count
            part = tl.load(factors + row * count + start + lanes, mask=inside, other=1.0)
            largest = tl.maximum(largest, part)
    factor = tl.max(largest, axis=0)
    last = tl.load(memory + LAST)
    guess = (last * tl.exp(-0.002 - 3.0 * tl.load(memory + DRIFT))).to(residual.dtype.element_ty)
    # A score is at most its magnitude times the largest factor, give or take a rounding.
    low = tl.where(factor == 1.0, guess, guess / factor * 0.9999)
    tl.store(control + BOUND, _bits(guess).to(tl.int64))
    tl.store(control + LOW, _bits(low).to(tl.int64))
    tl.store(control + FACTOR, _bits(factor).to(tl.int64))


@triton.jit
def stream(
    residual, grad, dim, control, tile_base, tile_count, positions, values, room,
    ACCUMULATE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add the gradient to a tile, and shortlist its entries."""
    tile, row = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    control += row * WORDS
    tiles = tl.num_programs(0)
    at = tile * BLOCK + tl.arange(0, BLOCK)
    inside = at < dim
    value = tl.load(residual + row * dim + at, mask=inside, other=0.0)
    if ACCUMULATE:
        value += tl.load(grad + row * dim + at, mask=inside, other=0.0)
        tl.store(residual + row * dim + at, value, mask=inside)
    reached = inside & (_bits(value).to(tl.int64) >= tl.load(control + LOW))
    rank = tl.cumsum(reached.to(tl.int32), axis=0) - 1
    count = tl.sum(reached.to(tl.int32), axis=0).to(tl.int64)
    base = tl.atomic_add(control + FOUND, count)
    tl.store(tile_base + row * tiles + tile, base)
    tl.store(tile_count + row * tiles + tile, count)
    to = base + rank
    tl.store(positions + row * room + to, at, mask=reached & (to < room))
    tl.store(values + row * room + to, value, mask=reached & (to < room))


@triton.jit
def score(
    control, positions, values, scores, room, corrected, factors, count, steps,
    CORRECTED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Score a block of the shortlist, and count those that reach the bound."""
    row = tl.program_id(1).to(tl.int64)
    control += row * WORDS
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    found = tl.load(control + FOUND)
    inside = at < tl.minimum(found, room)
    value = tl.load(values + row * room + at, mask=inside, other=0.0)
    position = tl.load(positions + row * room + at, mask=inside, other=0)
    bits = _score(
        value, position, inside, corrected + row * count, factors + row * count, count, steps,
        CORRECTED,
    )  # fmt: skip
    tl.store(scores + row * room + at, bits, mask=inside)
    hit = inside & (bits.to(tl.int64) >= tl.load(control + BOUND))
    hits = tl.sum(hit.to(tl.int32), axis=0).to(tl.int64)
    if hits > 0:
        tl.atomic_add(control + HITS, hits)


@triton.jit
def verify(control, room, k):
    """Tell whether the k largest scores are known to be on the shortlist."""
    control += tl.program_id(1).to(tl.int64) * WORDS
    holds = (tl.load(control + FOUND) <= room) & (tl.load(control + HITS) >= k)
    tl.store(control + HOLDS, holds.to(tl.int64))
    tl.store(control + WANTED, k)


@triton.jit
def digits(
    control, histogram, residual, dim, scores, room, corrected, factors, count, steps,
    known, shift, CORRECTED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count a digit of the scores with the threshold's prefix, in the shortlist or else in the row.

    The threshold's bits from `known` up are known; the digit starts at bit `shift`, and may overlap
    them.
    """
    row = tl.program_id(1).to(tl.int64)
    control += row * WORDS
    prefix = tl.load(control + PREFIX)
    holds = tl.load(control + HOLDS) == 1
    found = tl.load(control + FOUND)
    end = tl.where(holds, found, dim)
    counts = tl.zeros((BINS,), tl.int32)
    lanes = tl.arange(0, BLOCK)
    start = tl.program_id(0).to(tl.int64) * BLOCK
    while start < end:
        at = start + lanes
        inside = at < end
        if holds:
            bits = tl.load(scores + row * room + at, mask=inside, other=0).to(tl.int64)
        else:
            value = tl.load(residual + row * dim + at, mask=inside, other=0.0)
            bits = _score(
                value, at, inside, corrected + row * count, factors + row * count, count, steps,
                CORRECTED,
            ).to(tl.int64)  # fmt: skip
        alike = inside & ((bits >> known) == (prefix >> known))
        digit = ((bits >> shift) & (BINS - 1)).to(tl.int32)
        counts += tl.histogram(digit, BINS, mask=alike)
        start += tl.num_programs(0).to(tl.int64) * BLOCK
    bins = tl.arange(0, BINS)
    tl.atomic_add(histogram + row * BINS + bins, counts.to(tl.int64), mask=counts > 0)


@triton.jit
def pick(control, histogram, shift):
    """Find the threshold's digit, and clear the counts for the next one."""
    row = tl.program_id(1).to(tl.int64)
    control += row * WORDS
    bins = tl.arange(0, BINS)
    counts = tl.load(histogram + row * BINS + bins)
    wanted = tl.load(control + WANTED)
    reached = tl.sum(counts, axis=0) - tl.cumsum(counts, axis=0) + counts
    digit = tl.sum((reached >= wanted).to(tl.int64), axis=0) - 1
    above = tl.sum(tl.where(bins > digit, counts, 0), axis=0)
    tl.store(control + PREFIX, tl.load(control + PREFIX) | (digit << shift))
    tl.store(control + WANTED, wanted - above)
    tl.store(histogram + row * BINS + bins, tl.zeros((BINS,), tl.int64))


@triton.jit
def _tile(
    control, tile, row, tiles, residual, dim, tile_base, tile_count, positions, values, scores,
    room, corrected, factors, count, steps, CORRECTED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Return what may be selected in a tile, ascending: positions, values, scores, and a mask."""
    lanes = tl.arange(0, BLOCK).to(tl.int64)
    threshold = tl.load(control + PREFIX)
    if tl.load(control + HOLDS) == 1:
        at = row * room + tl.load(tile_base + row * tiles + tile) + lanes
        inside = lanes < tl.load(tile_count + row * tiles + tile)
        position = tl.load(positions + at, mask=inside, other=0)
        value = tl.load(values + at, mask=inside, other=0.0)
        bits = tl.load(scores + at, mask=inside, other=0).to(tl.int64)
    else:
        position = tile * BLOCK + lanes
        inside = position < dim
        value = tl.load(residual + row * dim + position, mask=inside, other=0.0)
        largest = _bits(value * _float(tl.load(control + FACTOR), residual)).to(tl.int64)
        inside = inside & (largest >= threshold)
        bits = _score(
            value, position, inside, corrected + row * count, factors + row * count, count, steps,
            CORRECTED,
        ).to(tl.int64)  # fmt: skip
    return position, value, bits, inside


@triton.jit
def count_selected(
    control, residual, dim, tile_base, tile_count, positions, values, scores, room,
    corrected, factors, count, steps, tile_above, tile_equal,
    CORRECTED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Count the scores of a tile that are above the threshold, and those that equal it."""
    tile, row = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    control += row * WORDS
    tiles = tl.num_programs(0)
    _, _, bits, inside = _tile(
        control, tile, row, tiles, residual, dim, tile_base, tile_count, positions, values,
        scores, room, corrected, factors, count, steps, CORRECTED, BLOCK,
    )  # fmt: skip
    threshold = tl.load(control + PREFIX)
    above = tl.sum((inside & (bits > threshold)).to(tl.int32), axis=0)
    equal = tl.sum((inside & (bits == threshold)).to(tl.int32), axis=0)
    tl.store(tile_above + row * tiles + tile, above.to(tl.int64))
    tl.store(tile_equal + row * tiles + tile, equal.to(tl.int64))


@triton.jit
def scan(control, memory, residual, tile_above, tile_equal, tiles, BLOCK: tl.constexpr):
    """Turn the tiles' counts into exclusive prefix sums, and learn from the threshold."""
    row = tl.program_id(1).to(tl.int64)
    control += row * WORDS
    memory += row * REMEMBERED
    lanes = tl.arange(0, BLOCK)
    above, equal = tl.zeros((), tl.int64), tl.zeros((), tl.int64)
    for start in range(0, tiles, BLOCK):
        at = row * tiles + start + lanes
        inside = start + lanes < tiles
        counts = tl.load(tile_above + at, mask=inside, other=0)
        tl.store(tile_above + at, above + tl.cumsum(counts, axis=0) - counts, mask=inside)
        above += tl.sum(counts, axis=0)
        counts = tl.load(tile_equal + at, mask=inside, other=0)
        tl.store(tile_equal + at, equal + tl.cumsum(counts, axis=0) - counts, mask=inside)
        equal += tl.sum(counts, axis=0)

    threshold = _float(tl.load(control + PREFIX), residual).to(tl.float64)
    usable = (threshold > 0.0) & (threshold < float("inf"))
    last, drift = tl.load(memory + LAST), tl.load(memory + DRIFT)
    if usable & (last > 0.0):
        change = tl.minimum(tl.abs(tl.log(threshold) - tl.log(last)), 1.0)
        tl.store(memory + DRIFT, drift + 0.25 * (change - drift))
    tl.store(memory + LAST, tl.where(usable, threshold, 0.0))
    tl.store(memory + MISSES, tl.load(memory + MISSES) + 1.0 - tl.load(control + HOLDS))


@triton.jit
def emit(
    control, residual, dim, tile_base, tile_count, positions, values, scores, room,
    corrected, factors, count, steps, tile_above, tile_equal, indices_k, values_k, k,
    CORRECTED: tl.constexpr, KEEP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the selected entries of a tile to their place, and set them to 0 unless kept."""
    tile, row = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    control += row * WORDS
    tiles = tl.num_programs(0)
    position, value, bits, inside = _tile(
        control, tile, row, tiles, residual, dim, tile_base, tile_count, positions, values,
        scores, room, corrected, factors, count, steps, CORRECTED, BLOCK,
    )  # fmt: skip
    threshold, wanted = tl.load(control + PREFIX), tl.load(control + WANTED)
    above_before = tl.load(tile_above + row * tiles + tile)
    equal_before = tl.load(tile_equal + row * tiles + tile)
    equal = inside & (bits == threshold)
    equal_rank = equal_before + tl.cumsum(equal.to(tl.int32), axis=0) - 1
    selected = (inside & (bits > threshold)) | (equal & (equal_rank < wanted))
    to = row * k + above_before + tl.minimum(equal_before, wanted)
    to += tl.cumsum(selected.to(tl.int32), axis=0) - 1
    tl.store(indices_k + to, position, mask=selected)
    tl.store(values_k + to, value, mask=selected)
    if not KEEP:
        tl.store(residual + row * dim + position, tl.zeros_like(value), mask=selected)
    magnitude = _bits(value)
    spoilt = tl.max((selected & (magnitude >= _infinity(magnitude))).to(tl.int32), axis=0)
    if spoilt > 0:
        tl.store(control + SPOILT, 1)
