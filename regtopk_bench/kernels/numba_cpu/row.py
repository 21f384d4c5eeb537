"""One row that does not fit in cache: its k largest scores, from bounds, marks and a list."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch

from regtopk_bench.kernels.guess import Guess
from regtopk_bench.kernels.numba_cpu import passes, selection
from regtopk_bench.kernels.numba_cpu.in_cache import BITS
from regtopk_bench.kernels.numba_cpu.passes import Array
from regtopk_bench.kernels.numba_cpu.scratch import scratch
from regtopk_bench.kernels.numba_cpu.vector import LANES
from regtopk_bench.kernels.spread import spread

_SAMPLED_BLOCKS = 512
_SPARE_ROOM = 2**12
_WORTH_A_THREAD = 2**19
"""Fewer entries are finished before another thread has woken up."""


class Row:
    """One row during a step, contiguous float32 or float64.

    Threads share it in pieces. Bounds and thresholds are the bits of scores, as integers.
    """

    def __init__(self, residual_J: Array, k: int, corrected_k: Array, factors_k: Array) -> None:
        dim, dtype = len(residual_J), residual_J.dtype
        pieces = max(1, min(torch.get_num_threads(), dim // _WORTH_A_THREAD))
        self.residual, self.k = residual_J, k
        self.corrected, self.factors = corrected_k, factors_k
        self.bits = residual_J.view(BITS[dtype])
        self.bounds = [dim * piece // pieces // LANES * LANES for piece in range(pieces)] + [dim]
        self.limit = min(4 * k, dim // 8) + _SPARE_ROOM
        self.scratch = scratch(dim, pieces, self.limit + LANES, dtype)
        self.pieces = pieces
        self.marked = self.listed = np.zeros(pieces, np.int64)

    def guessed(self, guess: Guess, grad_J: Array | None) -> tuple[Any, Any]:
        """Return bounds that probably bracket the threshold."""
        bracket = guess.bracket()
        if bracket is None:
            return self._sampled(grad_J)
        low, high = np.array(bracket).astype(self.residual.dtype).view(self.bits.dtype)
        return low, high

    def score(self, bits: Any) -> float:
        """Return the score with these bits."""
        return float(self.bits.dtype.type(bits).view(self.residual.dtype))

    def scan(self, grad_J: Array | None, low: Any, high: Any) -> bool:
        """Accumulate, mark the scores that reach high, list those from low to it.

        Returns whether the k largest are the marked ones and some of the listed ones.
        """
        found = spread(functools.partial(self._scan_piece, grad_J, low, high), self.pieces)
        self.marked, self.listed = np.array(found, np.int64).T.copy()
        marked, listed = self.marked.sum(), self.listed.sum()
        return bool(marked <= self.k <= marked + listed and listed <= self.limit)

    def _scan_piece(self, grad_J: Array | None, low: Any, high: Any, piece: int) -> Any:
        memory = self.scratch
        return passes.scan(
            self.residual, grad_J, self.corrected, self.factors,
            self.bounds[piece], self.bounds[piece + 1], low, high,
            memory.words, memory.positions[piece], memory.scores[piece],
        )  # fmt: skip

    def search(self) -> Any:
        """Scan what is stored until the k largest are known; return the lower bound."""
        low, high = self._sampled(None)
        if not self.scan(None, low, high):
            low, high = self._certain()
            self.scan(None, low, high)
        return low

    def settle(self, low: Any) -> Any:
        """Mark the largest of the listed scores up to k, and return the threshold."""
        wanted = self.k - int(self.marked.sum())
        if wanted == 0:
            return low
        memory, listed = self.scratch, self.listed
        if listed.sum() > self.limit:  # only if all of them equal low
            taken = np.diff(np.minimum(np.cumsum(listed), wanted), prepend=0)
            for piece in range(self.pieces):
                passes.mark_equal(
                    self.residual, self.bits, self.corrected, self.factors,
                    self.bounds[piece], self.bounds[piece + 1], memory.words, low, taken[piece],
                )  # fmt: skip
            self.marked += taken
            return low
        at, kept, starts = selection.settle(memory.bits, listed, self.marked, self.k)
        for piece in range(self.pieces):
            bits = memory.bits[piece, : listed[piece]]
            selection.mark(memory.words, memory.positions[piece], bits, at, kept[piece])
        self.marked = np.diff(starts)
        return at

    @property
    def beyond(self) -> Any:
        """A bound above every finite score; only entries that are not finite reach it."""
        return np.array(np.inf, self.residual.dtype).view(self.bits.dtype)[()]

    def emit(self, positions_k: Array, values_k: Array, keep: bool = False) -> bool:
        """Write the marked entries, ascending, and set them to 0 unless `keep` is set.

        Returns False, and keeps them all, if any of them is not finite. If any entry of the row is
        not finite, it is among them: no score is larger.
        """
        ends = [0, *np.cumsum(self.marked)]

        def emit_piece(piece: int) -> bool:
            outputs = slice(ends[piece], ends[piece + 1])
            return bool(
                selection.emit(
                    self.residual, self.bounds[piece], self.bounds[piece + 1],
                    self.scratch.words, keep, positions_k[outputs], values_k[outputs],
                )
            )  # fmt: skip

        finite = all(spread(emit_piece, self.pieces))
        if not finite:
            self.residual[positions_k] = values_k
        return finite

    def _sampled(self, grad_J: Array | None) -> tuple[Any, Any]:
        """Return bounds that probably bracket the threshold, from blocks of this round."""
        dim = len(self.residual)
        blocks = min(_SAMPLED_BLOCKS, dim // LANES)
        nothing = self.bits.dtype.type(0)
        if blocks == 0:
            return nothing, self.beyond
        scores = np.empty(blocks * LANES, self.residual.dtype)
        stride = (dim - LANES) // blocks
        passes.sample(self.residual, grad_J, self.corrected, self.factors, stride, scores)
        bits = np.sort(scores.view(self.bits.dtype))[::-1]
        expected = self.k * len(bits) / dim
        spread = 4.0 * math.sqrt(expected * (1.0 - self.k / dim)) + 4.0
        first, last = math.floor(expected - spread), math.ceil(expected + spread)
        low = bits[last] if last < len(bits) else nothing
        return low, bits[first] if first >= 0 else self.beyond

    def _certain(self) -> tuple[Any, Any]:
        """Return bounds with the threshold and few scores between them, or many that equal it.

        Each turn is a histogram of the bin in which the last one found the threshold.
        """
        as_bits, largest = self.bits.dtype.type, np.iinfo(self.bits.dtype).max
        base, shift, above = 0, 8 * self.bits.itemsize - 12, 0
        while True:
            count = functools.partial(self._histogram_piece, as_bits(base), shift)
            counts = np.sum(spread(count, self.pieces), axis=0)
            reached = np.append(np.cumsum(counts[::-1])[::-1], above)
            found = int(np.flatnonzero(reached[:-1] >= self.k)[-1])
            base, above = base + (found << shift), int(reached[found + 1])
            if shift == 0 or reached[found] - above <= self.limit:
                return as_bits(base), as_bits(min(base + (1 << shift), largest))
            shift = max(0, shift - 11)

    def _histogram_piece(self, base: Any, shift: int, piece: int) -> Any:
        return passes.histogram(
            self.residual, self.bits, self.corrected, self.factors,
            self.bounds[piece], self.bounds[piece + 1], base, shift,
        )  # fmt: skip
