"""Bandwidths and times as people write them: `10gbit`, `50us`.

A gbit is 10⁹ bit, and a bandwidth is what a link carries in a second and in one direction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError

_BITS = {
    "bit": Decimal(1),
    "kbit": Decimal(10) ** 3,
    "mbit": Decimal(10) ** 6,
    "gbit": Decimal(10) ** 9,
    "tbit": Decimal(10) ** 12,
}
_BYTES = {f"{unit[0]}byte": 8 * bits for unit, bits in _BITS.items() if unit != "bit"}
_SECONDS = {
    "ns": Decimal(10) ** -9,
    "us": Decimal(10) ** -6,
    "ms": Decimal(10) ** -3,
    "s": Decimal(1),
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e[-+]?[0-9]{1,3})?)\s*([a-z]+)", re.ASCII)


def bits_per_second(text: Any) -> float:
    """Parse a bandwidth, such as `100mbit` or, in bytes, `450gbyte`; both per second.

    Raises:
        ConfigurationError: If it is none.
    """
    return _parsed(text, _BITS | _BYTES, "a bandwidth such as 10gbit or 100mbit")


def seconds(text: Any) -> float:
    """Parse a time, such as `50us`, `1.5ms` or `2s`.

    Raises:
        ConfigurationError: If it is none.
    """
    return _parsed(text, _SECONDS, "a time such as 180ms or 50us")


def written_bandwidth(value: float) -> str:
    """Return a bandwidth, in bit/s, as text that `bits_per_second` reads."""
    return _written(value, _BITS)


def written_seconds(value: float) -> str:
    """Return a time as text that `seconds` reads."""
    return _written(value, _SECONDS)


def _parsed(text: Any, units: Mapping[str, Decimal], expected: str) -> float:
    spelled = text.strip().lower() if isinstance(text, str) else ""
    spelled = spelled.replace("µ", "u").replace("μ", "u")
    found = _QUANTITY.fullmatch(spelled)
    if not found:
        raise ConfigurationError(f"{shown(text)} is not {expected}")
    if found[2] not in units:
        raise ConfigurationError(
            f"{shown(text)}: the unit {found[2]} is not one of {', '.join(units)}"
        )
    value = float(Decimal(found[1]) * units[found[2]])
    if not math.isfinite(value):
        raise ConfigurationError(f"{shown(text)} is too large")
    return value


def _written(value: float, units: Mapping[str, Decimal]) -> str:
    """Return the exact value in the largest unit of which there is at least one."""
    exact = Decimal(repr(value))
    fitting = [unit for unit, size in units.items() if exact >= size]
    unit = fitting[-1] if fitting else next(iter(units))
    return f"{(exact / units[unit]).normalize():f}{unit}"
