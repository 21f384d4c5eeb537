"""Parsers of setting values, the same for flags, environment and TOML.

A parser takes text or a TOML value and returns the value, or raises ValueError with a
message that can follow the setting's name.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from typing import Any

from regtopk_bench.algorithms import AlgorithmSpec, parse_spec, split_specs
from regtopk_bench.arguments import LARGEST
from regtopk_bench.errors import suggest
from regtopk_bench.network import Network, quantities
from regtopk_bench.settings.paths import UserPath

Parser = Callable[[Any], Any]


_SHOWN = 60
"""Characters of a value in an error."""

_LONGEST = 1e9
"""Seconds, three decades."""


def shown(raw: Any) -> str:
    """Return a value as errors quote it: text in quotation marks, and nothing at length."""
    try:
        return _cut(repr(raw))
    except (RecursionError, ValueError):  # nested too deeply, or an integer of thousands of digits
        return f"this {type(raw).__name__}"


def bare(raw: Any) -> str:
    """Return a value as `shown` does, but text without quotation marks."""
    return _cut(_as_text(raw))


def _as_text(raw: Any) -> str:
    return raw if isinstance(raw, str) else shown(raw)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _float(raw: Any) -> float:
    """Return a number, or NaN for anything else: true and false, digits of other scripts."""
    if isinstance(raw, bool) or (isinstance(raw, str) and not raw.isascii()):
        return math.nan
    try:
        return float(raw)
    except (TypeError, ValueError):
        return math.nan
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


def integer(raw: Any) -> int:
    """Parse a whole number."""
    value = _float(raw)
    if not (value.is_integer() or (isinstance(raw, int) and math.isinf(value))):
        raise ValueError(f"{shown(raw)} is not a whole number")
    try:
        return int(raw)  # all of its digits
    except ValueError:  # 1e6
        return int(value)


def number(raw: Any) -> float:
    """Parse a finite number."""
    value = _float(raw)
    if not math.isfinite(value):
        raise ValueError(f"{shown(raw)} is not a finite number")
    return value


def fraction(raw: Any) -> float:
    """Parse a number in (0, 1]."""
    value = _float(raw)
    if not 0.0 < value <= 1.0:
        raise ValueError(f"{bare(raw)} is not in (0, 1]")
    return value


def density(raw: Any) -> float:
    """Parse the fraction of entries kept, in (0, 1]."""
    try:
        return fraction(raw)
    except ValueError as error:
        raise ValueError(f"{error}; it is the fraction of entries kept") from None


def choice(names: Iterable[str]) -> Parser:
    """Parse one of several names."""
    known = tuple(names)

    def parse(raw: Any) -> str:
        if raw not in known:
            raise ValueError(f'unknown value "{bare(raw)}"{suggest(bare(raw), known)}')
        return str(raw)

    return parse


def choice_or_dotted(names: Iterable[str]) -> Parser:
    """Parse one of several names, or the dotted name of a module."""
    parse_choice = choice(names)

    def parse(raw: Any) -> str:
        parts = raw.split(".") if isinstance(raw, str) else []
        if len(parts) > 1 and all(part.isidentifier() for part in parts):
            return str(raw)
        return str(parse_choice(raw))

    return parse


def word_or(words: Iterable[str], parse_other: Parser) -> Parser:
    """Parse one of several words, such as `auto`, or else what another parser reads."""
    known = tuple(words)

    def parse(raw: Any) -> Any:
        return raw if raw in known else parse_other(raw)

    return parse


def _split_at_commas(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def listing(parse_one: Parser, split: Callable[[str], list[str]] = _split_at_commas) -> Parser:
    """Parse a list, or text that is split into one, into a tuple without duplicates."""

    def parse(raw: Any) -> tuple[Any, ...]:
        items = raw if isinstance(raw, list | tuple) else [raw]
        parts: list[Any] = []
        for item in items:
            parts += split(item) if isinstance(item, str) else [item]
        values = tuple(dict.fromkeys(parse_one(part) for part in parts))
        if not values:
            raise ValueError("the list is empty")
        return values

    return parse


def seeds(raw: Any) -> tuple[int, ...]:
    """Parse seeds such as `0`, `0,3,7` or `0-4`."""
    found: list[int] = []
    for part in listing(_as_text)(raw):
        first, dash, last = part.partition("-")
        try:
            if not part.isascii():  # digits of other scripts
                raise ValueError
            start, stop = int(first), int(last if dash else first)
        except ValueError:
            raise ValueError(f"{shown(part)} is not a seed or a range such as 0-4") from None
        if stop > LARGEST:
            raise ValueError(f"{shown(part)} is beyond {LARGEST}, the largest seed")
        if not 0 <= start <= stop:
            raise ValueError(f"{shown(part)} is not a rising range")
        if stop - start >= 10_000:
            raise ValueError(f"{shown(part)} holds more than 10000 seeds")
        found += range(start, stop + 1)
    return tuple(dict.fromkeys(found))


def algorithm(raw: Any) -> AlgorithmSpec:
    """Parse an algorithm with its hyper-parameters, as in `regtopk:mu=4,q=1e8`."""
    return parse_spec(_as_text(raw))


def algorithms(raw: Any) -> tuple[AlgorithmSpec, ...]:
    """Parse algorithms with their hyper-parameters, as in `dense,regtopk:mu=4,q=1e8`."""
    specs: tuple[AlgorithmSpec, ...] = listing(algorithm, split_specs)(raw)
    return specs


def network(raw: Any) -> Network:
    """Parse a network, as in `10gbit:50us`."""
    return Network.parse(raw)


def duration(raw: Any) -> float:
    """Parse a time above 0, as in `180ms`; a bare number is of seconds."""
    value = _float(raw)
    value = quantities.seconds(raw) if math.isnan(value) else value
    if not 0.0 < value <= _LONGEST:
        raise ValueError(f"{bare(raw)} is not a time above 0 and of at most {_LONGEST:g} s")
    return value


def boolean(raw: Any) -> bool:
    """Parse true or false."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(raw, bool):
        return raw
    if not isinstance(raw, str) or raw.lower() not in known:
        raise ValueError(f"{shown(raw)} is neither true nor false")
    return known[raw.lower()]


def text(raw: Any) -> str:
    """Parse text that is not empty."""
    if not isinstance(raw, str) or not raw:
        raise ValueError(f"{shown(raw)} is not text")
    return raw


def path(raw: Any) -> UserPath:
    """Parse a path; ~ and ~user stand for home folders."""
    given = UserPath(text(raw))
    if "\0" in given.text:
        raise ValueError(f"{shown(raw)} is no path: it holds a NUL byte")
    try:
        os.fspath(given)
    except RuntimeError:
        raise ValueError(f"{shown(raw)}: there is no such home folder") from None
    return given


def name_or_path(raw: Any) -> str:
    """Parse a name, or a path whose ~ counts where it is written."""
    given = path(raw)
    return os.fspath(given) if given.text.startswith("~") else given.text
