"""The compression step compiled with Numba, for rows that do not fit in cache: one pass.

Guess, verify, fall back. The threshold of the last round is a good guess of this round's.
One pass over memory adds the gradient, and takes out of it every entry whose size reaches
a little less than the guess: the candidates. No factor exceeds 1, so no other entry's score
can reach that bound. If at least k candidates have a corrected score that does, the k largest
of them are the k largest of all, exactly; the others are put back. If not, a histogram of
what is stored gives a bound that is certain, and a second pass takes candidates by it. The
guess decides how long a step takes, never what it selects.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.kernels import stream_loops as loops
from regtopk_bench.kernels.checks import check_finite
from regtopk_bench.kernels.guess import Guess
from regtopk_bench.kernels.numba_cpu import BITS, INFINITY, take, threshold
from regtopk_bench.kernels.stream_loops import Array
from regtopk_bench.kernels.vector import LANES

_SAMPLE = 2**15
_SPARE_CANDIDATES = 2**12
_SPREAD_SELECTION = 2**17


def step(
    residual_NJ: Tensor,
    grad_NJ: Tensor,
    k: int,
    corrected_Nk: Tensor | None,
    factors_Nk: Tensor | None,
    guesses: Sequence[Guess],
) -> tuple[Tensor, Tensor]:
    """See `regtopk_bench.kernels.step`; rows one after the other, threads within a row."""
    workers, residual = len(residual_NJ), residual_NJ.numpy()
    positions = np.empty((workers, k), np.int64)
    values = np.empty((workers, k), residual.dtype)
    grad = np.ascontiguousarray(grad_NJ.numpy())
    if corrected_Nk is None or factors_Nk is None:
        corrected, factors = positions[:, :0], values[:, :0]
    else:
        corrected, factors = corrected_Nk.numpy(), factors_Nk.numpy()
    for n, guess in enumerate(guesses):
        arguments = (residual[n], grad[n], k, corrected[n], factors[n], guess)
        if not step_row(*arguments, positions[n], values[n]):
            check_finite(residual_NJ)
    return torch.from_numpy(positions), torch.from_numpy(values)


def step_row(
    residual_J: Array,
    grad_J: Array,
    k: int,
    corrected_k: Array,
    factors_k: Array,
    guess: Guess,
    positions_k: Array,
    values_k: Array,
) -> bool:
    """Step one row, contiguous float32 or float64; return False if it is not finite.

    Args:
        residual_J: ε; becomes a with the selected entries zeroed, or a if it is not finite.
        grad_J: g.
        k: Entries to select.
        corrected_k: Ascending indices whose score is corrected; may be empty.
        factors_k: Their factors, in [0, 1].
        guess: The worker's memory, updated.
        positions_k: Receives the selected indices, ascending.
        values_k: Receives a at these indices.
    """
    row = _Row(residual_J, k, corrected_k, factors_k)
    low = guess.lower_bound()
    if low is None:
        low = _sampled_bound(residual_J, grad_J, k)
    reached = row.scan(grad_J, row.bits(low))
    missed = not row.complete or reached < k
    if missed:
        row.put_back()
        certain = row.certain_bound()
        if certain is None:
            return row.take_by_bisection(guess, positions_k, values_k)
        row.scan(grad_J[:0], certain)
    if not row.finite:
        row.put_back()
        return False
    guess.learn(row.emit(positions_k, values_k), missed)
    return True


class _Chunk:
    """A piece of a row that one thread scans, and the candidates found in it."""

    def __init__(self) -> None:
        self.start = self.stop = self.count = self.reached = 0
        self.finite = True
        self.positions, self.values, self.scores = (np.empty(0, np.int64),) * 3

    def begin(self, start: int, stop: int, room: int, dtype: np.dtype[Any]) -> None:
        """Start over on a piece of a row, in the memory of the last one where that is enough."""
        self.start, self.stop, self.count, self.finite = start, stop, 0, True
        if len(self.positions) < room or self.values.dtype != dtype:
            self.positions = np.empty(room, np.int64)
            self.values, self.scores = np.empty(room, dtype), np.empty(room, dtype)

    def grow(self) -> None:
        """Double the room for candidates."""
        for name in ("positions", "values", "scores"):
            old = getattr(self, name)
            new = np.empty(2 * len(old), old.dtype)
            new[: self.count] = old[: self.count]
            setattr(self, name, new)

    @property
    def bits(self) -> Array:
        """The candidates' scores, as integers."""
        return self.scores[: self.count].view(BITS[self.scores.dtype])


class _Memory(threading.local):
    """Chunks of the calling thread, kept because fresh memory costs more than the scan."""

    def __init__(self) -> None:
        self.chunks: list[_Chunk] = []

    def take(self, count: int) -> list[_Chunk]:
        """Return so many chunks."""
        self.chunks += [_Chunk() for _ in range(count - len(self.chunks))]
        return self.chunks[:count]


_memory = _Memory()


class _Row:
    """One row during a step."""

    def __init__(self, residual_J: Array, k: int, corrected_k: Array, factors_k: Array) -> None:
        self.residual, self.k = residual_J, k
        self.corrected, self.factors = corrected_k, factors_k
        self.complete = self.finite = True
        self._limit = 4 * k + _SPARE_CANDIDATES
        self._low: Any = None
        dim, threads = len(residual_J), torch.get_num_threads()
        self._bounds = [dim * piece // threads // LANES * LANES for piece in range(threads)] + [dim]
        self._map: Callable[..., list[Any]] = _spread if threads > 1 else _in_turn
        self.chunks: list[_Chunk] = []

    def bits(self, score: float) -> Any:
        """Return a score as the integer with its bits."""
        dtype = self.residual.dtype
        return np.array(score, dtype).view(BITS[dtype])[()]

    def scan(self, grad_J: Array, low: Any) -> int:
        """Take candidates out of the row, adding the gradient first unless it is empty.

        Returns how many candidates have a corrected score that reaches the bound. Sets
        `complete` where there are not too many, and `finite`.
        """
        self._low, share = low, 1.25 * self.k / len(self.residual)
        self.chunks = _memory.take(len(self._bounds) - 1)
        for chunk, (start, stop) in zip(self.chunks, itertools.pairwise(self._bounds), strict=True):
            room = int(share * (stop - start)) + 4 * LANES
            chunk.begin(start, stop, room, self.residual.dtype)
        self._map(functools.partial(self._scan_chunk, grad_J), self.chunks)
        self.finite = all(chunk.finite for chunk in self.chunks)
        return sum(chunk.reached for chunk in self.chunks) if self.complete else 0

    def _scan_chunk(self, grad_J: Array, chunk: _Chunk) -> None:
        at = chunk.start
        while at < chunk.stop:
            at, chunk.count = loops.scan(
                self.residual, grad_J, at, chunk.stop, self._low,
                chunk.positions, chunk.values, chunk.count,
            )  # fmt: skip
            if at < chunk.stop:
                if len(grad_J) and sum(c.count for c in self.chunks) > self._limit:
                    self.complete = False
                    loops.accumulate(self.residual, grad_J, at, chunk.stop)
                    return
                chunk.grow()
        first = int(np.searchsorted(self.corrected, chunk.start))
        chunk.reached, chunk.finite = loops.score(
            chunk.positions, chunk.values, self.corrected, self.factors, first,
            chunk.scores, chunk.bits, self._low,
        )  # fmt: skip

    def put_back(self) -> None:
        """Undo the taking out of candidates."""
        for chunk in self.chunks:
            loops.put_back(self.residual, chunk.positions, chunk.values, chunk.count)
        self.chunks, self.complete, self.finite = [], True, True

    def certain_bound(self) -> Any:
        """Return a bound that k or more scores reach, and not many more; None if there is none.

        It is the lower edge of a bin in a histogram of the leading bits of every score.
        """
        dtype = self.residual.dtype
        shift = 18 if dtype == np.float32 else 45
        bins = (int(INFINITY[dtype]) >> shift) + 2**8
        ranges = itertools.pairwise(self._bounds)
        bits_J = self.residual.view(BITS[dtype])
        mask = np.array(-1).astype(BITS[dtype]) ^ np.iinfo(BITS[dtype]).min
        parts = self._map(
            lambda ends: loops.histogram(bits_J[ends[0] : ends[1]], mask, shift, bins), ranges
        )
        histogram = np.sum(parts, axis=0)
        magnitudes = np.abs(self.residual[self.corrected])
        with np.errstate(invalid="ignore"):  # infinity times 0, found out by the scan
            corrected = magnitudes * self.factors
        for scores, sign in ((magnitudes, -1), (corrected, 1)):
            binned = loops.histogram(scores.view(BITS[dtype]), mask, shift, bins)
            histogram += sign * binned
        reached = np.cumsum(histogram[::-1])[::-1]
        edge = int(np.flatnonzero(reached >= self.k)[-1])
        if reached[edge] > self._limit:
            return None
        return BITS[dtype](edge << shift)

    def take_by_bisection(self, guess: Guess, positions_k: Array, values_k: Array) -> bool:
        """Select without candidates, where a great many scores are nearly equal."""
        score_J = np.abs(self.residual)
        if not np.isfinite(score_J).all():
            return False
        score_J[self.corrected] *= self.factors
        bits_J = score_J.view(BITS[score_J.dtype])
        largest = bits_J.max()
        positions, values = np.empty(self.k + 1, np.int64), np.empty(self.k + 1, score_J.dtype)
        take(self.residual, bits_J, largest, self.k, positions, values)
        positions_k[:], values_k[:] = positions[:-1], values[:-1]
        guess.learn(0.0, missed=True)
        return True

    def emit(self, positions_k: Array, values_k: Array) -> float:
        """Write the k largest candidates, put back the others, return the threshold."""
        at = self._threshold()
        counts = [loops.count(chunk.bits, at) for chunk in self.chunks]
        room = self.k - sum(above for above, _ in counts)
        jobs, write = [], 0
        for chunk, (above, equal) in zip(self.chunks, counts, strict=True):
            kept = min(equal, room)
            outputs = slice(write, write + above + kept)
            jobs.append((chunk, outputs, kept))
            room -= kept
            write = outputs.stop
        spread = self._map if self.k > _SPREAD_SELECTION else _in_turn
        spread(functools.partial(self._emit_chunk, at, positions_k, values_k), jobs)
        return float(np.array(at).view(self.residual.dtype)[()])

    def _emit_chunk(
        self, at: Any, positions_k: Array, values_k: Array, job: tuple[_Chunk, slice, int]
    ) -> None:
        chunk, outputs, equal = job
        loops.emit(
            chunk.positions, chunk.values, chunk.bits, at, equal,
            self.residual, positions_k[outputs], values_k[outputs],
        )  # fmt: skip

    def _threshold(self) -> Any:
        """Return the bits of the k-th largest score, by a histogram above the bound."""
        shift = 10 if self.residual.dtype == np.float32 else 39
        spread = self._map if self.k > _SPREAD_SELECTION else _in_turn
        parts = spread(
            lambda chunk: loops.histogram_above(chunk.bits, self._low, shift), self.chunks
        )
        reached = np.cumsum(np.sum(parts, axis=0)[::-1])[::-1]
        bin_of_kth = int(np.flatnonzero(reached >= self.k)[-1])
        above = int(reached[bin_of_kth + 1]) if bin_of_kth + 1 < loops.BINS else 0
        members = np.concatenate(
            spread(
                lambda chunk: loops.members(chunk.bits, self._low, shift, bin_of_kth), self.chunks
            )
        )
        at, _ = threshold(members, members.max(), self.k - above)
        return members[members >= at].min()


def _sampled_bound(residual_J: Array, grad_J: Array, k: int) -> float:
    """Return a bound that the threshold probably exceeds, from a sample of this round."""
    step = max(1, len(residual_J) // _SAMPLE)
    with np.errstate(over="ignore", invalid="ignore"):  # found out by the scan
        sample = np.abs(residual_J[::step] + grad_J[::step])
    expected = k * len(sample) / len(residual_J)
    rank = min(len(sample), math.ceil(expected + 3.0 * math.sqrt(expected) + 3.0))
    bound = float(np.partition(sample, len(sample) - rank)[len(sample) - rank])
    return bound if math.isfinite(bound) else 0.0


def _in_turn(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    return [function(item) for item in items]


def _spread(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Map over a few items at once; the calling thread, awake already, takes the first."""
    first, *others = items
    futures = [_executor().submit(function, item) for item in others]
    return [function(first), *(future.result() for future in futures)]


@functools.cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="regtopk-bench")
