"""A compression step that never changes, to tell a slower kernel from a slower machine.

It shares no code with what it is timed beside: NumPy alone, with a threshold that is given. Like
a step of ours it reads a gradient, adds it to a residual, and takes out what is large; unlike
one it need not be exact. To change it would make times incomparable with those of other versions:
see `VERSION`.
"""

from __future__ import annotations

import time

import numpy as np

VERSION = 1
"""Raised with any change to what is timed; times of different versions are not compared."""

_ENTRIES = 2**20
_THRESHOLD = 3.5
"""About 1.3 % of the sums of two normal variables are larger in magnitude."""


class FrozenStep:
    """The step, with its data."""

    def __init__(self) -> None:
        """Draw a residual and a gradient, float32 (J,)."""
        generator = np.random.default_rng(0)
        self._start_J, self._grad_J = generator.standard_normal((2, _ENTRIES), dtype=np.float32)
        self._residual_J = self._start_J.copy()
        self._score_J = np.empty_like(self._start_J)

    def seconds(self) -> float:
        """Return the seconds that a step takes."""
        np.copyto(self._residual_J, self._start_J)
        started = time.perf_counter()
        np.add(self._residual_J, self._grad_J, out=self._residual_J)
        np.abs(self._residual_J, out=self._score_J)
        selected = np.flatnonzero(self._score_J >= _THRESHOLD)
        self._residual_J[selected].copy()  # the values that are sent
        self._residual_J[selected] = 0.0
        return time.perf_counter() - started
