"""Several tests at once: the correction of Holm (Scand. J. Statist. 6, 1979)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def corrected(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values, (tests,), each as the smallest level of all tests at which it is found."""
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    found = np.empty_like(p)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found


def significant(
    p: NDArray[np.float64], level: float, counted: NDArray[np.int_]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which of (..., tests) are significant among `counted`, and at which level each."""
    order = np.argsort(p, axis=-1, kind="stable")
    remaining = np.maximum(counted - np.arange(p.shape[-1]), 1)
    steps = level / remaining
    passed = np.logical_and.accumulate(np.take_along_axis(p, order, axis=-1) <= steps, axis=-1)
    failed = level / np.maximum(counted - passed.sum(axis=-1, keepdims=True), 1)
    found, levels = np.empty_like(passed), np.empty_like(p)
    np.put_along_axis(found, order, passed, axis=-1)
    np.put_along_axis(levels, order, np.where(passed, steps, failed), axis=-1)
    return found, levels
