"""The fast path for a sparse row: a shortlist is taken out while its entries are in cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from regtopk_bench.kernels.numba_cpu import passes, selection
from regtopk_bench.kernels.numba_cpu.passes import Array
from regtopk_bench.kernels.numba_cpu.row import Row
from regtopk_bench.kernels.spread import spread

_WORTH_THREADS = 2**15


class Shortlist:
    """The entries of a row whose score reaches a bound, if k or more and not too many do."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._listed = self._between = np.zeros(0, np.int64)

    def take(self, grad_J: Array, low: Any, high: Any) -> bool:
        """Accumulate, and take the entries that reach `low` out of the row.

        Returns whether the k largest are among them. The threshold is probably below `high`,
        which affects only how long `emit` takes.
        """
        row, memory, high_score = self._row, self._row.scratch, self._row.score(high)

        def take_piece(piece: int) -> Any:
            return passes.take(
                row.residual, grad_J, row.corrected, row.factors,
                row.bounds[piece], row.bounds[piece + 1], low, high_score,
                memory.positions[piece], memory.values[piece], memory.scores[piece],
                memory.band[piece],
            )  # fmt: skip

        found = spread(take_piece, row.pieces)
        self._listed = np.array([taken for taken, _, _ in found])
        self._between = np.array([between for _, between, _ in found])
        return not any(missed for *_, missed in found) and self._listed.sum() >= row.k

    def put_back(self) -> None:
        """Put back the entries that were taken out."""
        memory = self._row.scratch
        for piece, listed in enumerate(self._listed):
            taken = piece, slice(listed)
            selection.put_back(self._row.residual, memory.positions[taken], memory.values[taken])

    def emit(self, positions_k: Array, values_k: Array) -> tuple[Any, bool]:
        """Write the k largest on the list and put back the others; see `Row.emit`.

        Returns the threshold, and whether all that is written is finite.
        """
        row, memory = self._row, self._row.scratch
        sure = self._listed - self._between
        if sure.sum() < row.k:
            at, kept, starts = selection.settle(memory.band_bits, self._between, sure, row.k)
        else:  # the threshold is above the band
            nothing = np.zeros_like(sure)
            at, kept, starts = selection.settle(memory.bits, self._listed, nothing, row.k)

        def emit_pieces(piece: int, stop: int) -> bool:
            return bool(
                selection.keep(
                    row.residual, memory.positions, memory.values, memory.bits, self._listed,
                    at, kept, starts, piece, stop, positions_k, values_k,
                )
            )  # fmt: skip

        if row.k < _WORTH_THREADS:
            finite = emit_pieces(0, row.pieces)
        else:
            finite = all(spread(lambda piece: emit_pieces(piece, piece + 1), row.pieces))
        if not finite:
            row.residual[positions_k] = values_k
        return at, finite
