"""Numbers as people read them: a mean with its interval, and the unit of bytes."""

from __future__ import annotations

import math
from typing import Literal

from regtopk_bench.results.summary import Estimate

_MOST_PLACES = 6
"""Behind the point; a smaller interval has an exponent."""

_FINE, _LARGE = 1e-4, 1e9
"""Between them, a mean has no exponent."""

_RATES = (*(("bit/s", 1.0), ("kbit/s", 1e3), ("Mbit/s", 1e6), ("Gbit/s", 1e9), ("Tbit/s", 1e12)),)
_TIMES = (("ms", 1e-3, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, math.inf))
"""Units of time in seconds, each with the time from which on it is not used."""

_UNITS = (("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12))


def number(value: Estimate, places: int | None = None, sign: Literal["", "+"] = "") -> str:
    """Return a mean with its interval: two significant digits of that, and the mean as finely.

    Args:
        value: The mean; a dash stands for one that is not finite.
        places: Decimal places of a mean without an interval; by default it has four significant
            digits.
        sign: Before a mean above 0: a plus for differences.
    """
    mean, half_width = value.mean, value.half_width
    if not math.isfinite(mean):
        return "–"
    if half_width is None or not 0.0 < half_width < math.inf:
        if sign and mean == 0.0:
            return "0"
        alone = f"{mean:{sign}z.4g}" if places is None else f"{mean:{sign}z.{places}f}"
        return f"{alone}±0" if half_width == 0.0 else alone
    last = int(f"{half_width:.1e}".partition("e")[2]) - 1  # the power of ten of its second digit
    places = max(0, -last)
    if places <= _MOST_PLACES and max(abs(mean), half_width) < _LARGE:
        return f"{mean:{sign}z.{places}f}±{half_width:.{places}f}"
    return f"{_as_fine(mean, last, sign)}±{half_width:.1e}"


def byte_unit(size: float) -> tuple[str, float]:
    """Return the unit in which so many bytes have up to three digits before the point."""
    return next((each for each in _UNITS if size < 999.5 * each[1]), _UNITS[-1])


def bit_rate(value: float) -> str:
    """Return a bandwidth, in bit/s, with three significant digits."""
    unit, scale = next((each for each in _RATES if value < 999.5 * each[1]), _RATES[-1])
    return f"{value / scale:.3g} {unit}"


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit in which so many seconds have few digits before the point."""
    return next((each for each in _TIMES if seconds < each[2]), _TIMES[-1])[:2]


def duration(seconds: float) -> str:
    """Return a time with three significant digits."""
    unit, scale = time_unit(seconds)
    return f"{short(seconds / scale, 3)} {unit}"


def short(value: float, digits: int) -> str:
    """Return this many significant digits, or the whole integer part if it is longer."""
    return f"{value:.{digits}g}" if value < 10.0**digits else f"{value:.0f}"


def _as_fine(mean: float, last: int, sign: str) -> str:
    """Return a mean down to a power of ten."""
    if _FINE <= abs(mean) < _LARGE and last < 0:
        return f"{mean:{sign}.{-last}f}"
    rounded = round(mean, -last)
    if rounded == 0.0:
        return "0"
    return f"{rounded:{sign}.{math.floor(math.log10(abs(rounded))) - last}e}"
