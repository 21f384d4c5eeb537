"""Memory that a thread keeps between steps."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from regtopk_bench.kernels.numba_cpu.in_cache import BITS
from regtopk_bench.kernels.numba_cpu.vector import LANES


class Scratch:
    """What a step notes about a row: marks, and a list for each of its pieces.

    Attributes:
        words: A bit for each element, 64 in a word.
        positions: Where the listed scores are, a row for each piece.
        values: Their entries of a, if those are taken out.
        scores: The listed scores, and `bits` the same memory as integers.
        band: The scores that may be the threshold, and `band_bits` likewise.
    """

    def __init__(self, dim: int, pieces: int, room: int, dtype: np.dtype[Any]) -> None:
        self.shape = (dim, pieces, room, dtype)
        # Memory that is never written costs nothing, so there is room for the worst case.
        self.words = np.empty(len(range(0, dim, LANES)), np.uint64)
        self.positions = np.empty((pieces, room), np.int64)
        self.values = np.empty((pieces, room), dtype)
        self.scores = np.empty((pieces, room), dtype)
        self.bits = self.scores.view(BITS[dtype])
        self.band = np.empty((pieces, room), dtype)
        self.band_bits = self.band.view(BITS[dtype])


class _Kept(threading.local):
    scratch: Scratch | None = None


_kept = _Kept()


def scratch(dim: int, pieces: int, room: int, dtype: np.dtype[Any]) -> Scratch:
    """Return the calling thread's memory for a row; fresh memory would cost more than a scan."""
    found = _kept.scratch
    if found is None or found.shape != (dim, pieces, room, dtype):
        _kept.scratch = None  # free the old one before making the new one
        found = _kept.scratch = Scratch(dim, pieces, room, dtype)
    return found


def release() -> None:
    """Free the calling thread's memory."""
    _kept.scratch = None
