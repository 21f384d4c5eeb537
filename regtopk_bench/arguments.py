"""Arguments that have to be numbers, checked in one way everywhere."""

from __future__ import annotations

import math
import reprlib
from numbers import Integral, Real
from typing import Any

from regtopk_bench.errors import ConfigurationError

LARGEST = 2**63 - 1
"""The largest whole number that fits in 64 bits."""


def whole(value: Any, name: str, least: int = 0, most: int = LARGEST) -> int:
    """Return a whole number as an int.

    Raises:
        ConfigurationError: If it is something else, such as True or 2.0, or out of range.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ConfigurationError(f"{name} {shown(value)} is not a whole number")
    number = int(value)
    if number < least:
        raise ConfigurationError(f"{name} {shown(number)} is not at least {least}")
    if number > most:
        raise ConfigurationError(f"{name} {shown(number)} is above {most}")
    return number


def is_real(value: Any) -> bool:
    """Tell whether a value is a finite number; True and False are none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def shown(value: Any) -> str:
    """Return a value as a short text on one line."""
    try:
        text = " ".join(reprlib.repr(value).split())
    except ValueError:  # an integer of thousands of digits
        return f"of kind {type(value).__name__}"
    return f'"{text[1:-1]}"' if isinstance(value, str) else text
