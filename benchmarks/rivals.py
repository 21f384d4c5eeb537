"""Rules that other gates go by, to be tried on the same times as this one.

They take medians as they are, at whatever number of runs, and correct neither for rows nor for
repeated looks.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regtopk_bench.errors import ConfigurationError

Change = Literal["slower", "faster", "unchanged"]


def by_threshold(head_seconds: ArrayLike, base_seconds: ArrayLike, factor: float = 1.1) -> Change:
    """Compare medians: slower if their ratio is above a factor, faster if below its inverse.

    Args:
        head_seconds: Times of head, (runs,).
        base_seconds: Times of base, (runs,); their number may be another.
        factor: The ratio, at least 1, from which there is a change.

    Raises:
        ConfigurationError: There is no time, or one is not a finite number above 0.
    """
    head, base = _seconds(head_seconds), _seconds(base_seconds)
    ratio = np.median(head) / np.median(base)
    if ratio > factor:
        return "slower"
    return "faster" if ratio < 1.0 / factor else "unchanged"


def by_mann_whitney(
    head_seconds: ArrayLike, base_seconds: ArrayLike, p: float = 0.002, factor: float = 1.1
) -> Change:
    """Compare medians if the times differ by the two-sided test of Mann and Whitney.

    This is the rule of airspeed velocity (`asv continuous`) with its defaults. With so few times
    that p cannot be reached, fewer than seven on each side, nothing is ever found; asv then looks
    whether intervals of the medians overlap. p is exact for few times without ties.

    Args:
        head_seconds: Times of head, (runs,).
        base_seconds: Times of base, (runs,).
        p: Below which times differ.
        factor: The ratio, at least 1, from which a difference is a change.

    Raises:
        ConfigurationError: As for `by_threshold`.
    """
    from scipy import stats

    head, base = _seconds(head_seconds), _seconds(base_seconds)
    if stats.mannwhitneyu(head, base).pvalue >= p:
        return "unchanged"
    return by_threshold(head, base, factor)


def _seconds(values: ArrayLike) -> NDArray[np.float64]:
    seconds = np.asarray(values, dtype=np.float64)
    if seconds.ndim != 1 or not len(seconds) or not ((seconds > 0) & np.isfinite(seconds)).all():
        raise ConfigurationError("seconds: expected finite numbers above 0")
    return seconds
