"""Parsers of setting values, the same for flags, environment and TOML.

A parser takes text or a TOML value and returns the value, or raises ValueError with what is
wrong with it, ready to be put behind the setting's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from regtopk_bench.errors import suggest

Parser = Callable[[Any], Any]


def integer(minimum: int) -> Parser:
    """Parse a whole number of at least `minimum`."""

    def parse(raw: Any) -> int:
        try:
            number = float(raw)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(raw, bool) or not number.is_integer():
            raise ValueError(f"{raw!r} is not a whole number")
        if number < minimum:
            raise ValueError(f"{raw} is below {minimum}")
        return int(number)

    return parse


def number(
    *, above: float | None = None, minimum: float | None = None, below: float | None = None
) -> Parser:
    """Parse a finite number above or at least one bound, and below another."""

    def parse(raw: Any) -> float:
        try:
            value = float(raw)
        except (TypeError, ValueError):
            value = math.nan
        if isinstance(raw, bool) or not math.isfinite(value):
            raise ValueError(f"{raw!r} is not a finite number")
        if above is not None and not value > above:
            raise ValueError(f"{raw} is not above {above:g}")
        if minimum is not None and value < minimum:
            raise ValueError(f"{raw} is below {minimum:g}")
        if below is not None and not value < below:
            raise ValueError(f"{raw} is not below {below:g}")
        return value

    return parse


def fraction(raw: Any) -> float:
    """Parse a number in (0, 1]."""
    try:
        value = float(raw)
    except (TypeError, ValueError):
        value = math.nan
    if not 0.0 < value <= 1.0:
        raise ValueError(f"{raw} is not in (0, 1]")
    return value


def density(raw: Any) -> float:
    """Parse the fraction of entries kept, in (0, 1]."""
    try:
        return fraction(raw)
    except ValueError as error:
        raise ValueError(f"{error}; it is the fraction of entries kept") from None


def choice(names: Iterable[str]) -> Parser:
    """Parse one of some names."""
    known = tuple(names)

    def parse(raw: Any) -> str:
        if raw not in known:
            raise ValueError(f'unknown value "{raw}"{suggest(str(raw), known)}')
        return str(raw)

    return parse


def listing(parse_one: Parser) -> Parser:
    """Parse a list, or text with commas, into a tuple without repetitions."""

    def parse(raw: Any) -> tuple[Any, ...]:
        items = raw if isinstance(raw, list | tuple) else [raw]
        parts: list[Any] = []
        for item in items:
            parts += [part.strip() for part in item.split(",")] if isinstance(item, str) else [item]
        values = tuple(dict.fromkeys(parse_one(part) for part in parts))
        if not values:
            raise ValueError("the list is empty")
        return values

    return parse


def seeds(raw: Any) -> tuple[int, ...]:
    """Parse seeds such as `0`, `0,3,7` or `0-4`."""
    found: list[int] = []
    for part in listing(str)(raw):
        first, dash, last = part.partition("-")
        try:
            start, stop = int(first), int(last if dash else first)
        except ValueError:
            raise ValueError(f"{part!r} is not a seed or a range such as 0-4") from None
        if not 0 <= start <= stop:
            raise ValueError(f"{part!r} is not a rising range")
        if stop - start >= 10_000:
            raise ValueError(f"{part!r} holds more than 10000 seeds")
        found += range(start, stop + 1)
    return tuple(dict.fromkeys(found))


def processes(raw: Any) -> int | str:
    """Parse a number of processes, or `auto`."""
    if raw == "auto":
        return "auto"
    count: int = integer(1)(raw)
    return count


def boolean(raw: Any) -> bool:
    """Parse true or false."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return known[str(raw).lower()]
    except KeyError:
        raise ValueError(f"{raw!r} is neither true nor false") from None


def text(raw: Any) -> str:
    """Parse text that is not empty."""
    if not isinstance(raw, str) or not raw:
        raise ValueError(f"{raw!r} is not text")
    return raw
