"""Parts of sentences about configurations: names, densities, how certain a difference is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Literal

from regtopk_bench.algorithms import ALGORITHMS
from regtopk_bench.results.paired import LEVEL
from regtopk_bench.results.statistics import Comparison, Variant

Bound = Literal["at most", "at least"]

_SMALLEST_P = 1e-300
"""Below it, p is no more than a number that is too small to be computed."""


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def listed(parts: Iterable[str], last: str = " and ") -> str:
    """Return `a, b and c`."""
    *others, end = parts
    return f"{', '.join(others)}{last}{end}" if others else end


def name(of: Variant) -> str:
    """Return the name of an algorithm, with the parameters that tell it apart in its result."""
    known = ALGORITHMS.get(of.algorithm)
    short, _, differing = of.label.partition(":")
    return " ".join(filter(None, (known.label if known else short, differing)))


def densities(some: Sequence[float], everything: Sequence[float]) -> str:
    """Return which densities of all in a result are meant.

    Args:
        some: Those that are meant, in any order.
        everything: All, with 1 for algorithms without a density.
    """
    known = sorted({each for each in everything if each < 1.0}.union(some))
    meant = sorted(set(some))
    first = known.index(meant[0]) if meant[0] in known else 0
    if len(meant) == 1:
        return f"density {meant[0]:g}"
    if len(meant) > 2 and meant == known:
        return f"all {len(known)} densities"
    if len(meant) > 2 and known[first : first + len(meant)] == meant:
        return f"densities {meant[0]:g} to {meant[-1]:g}"
    return f"densities {listed(f'{each:g}' for each in meant)}"


def in_one_sentence(some: Sequence[Variant], everything: Sequence[float]) -> str:
    """Return configurations with their densities, those of the same densities together.

    Args:
        some: The configurations.
        everything: The densities of all in the result; where none are given, or several that a
            sparsifier may have, each is told.
    """
    at: dict[str, list[float]] = {}
    for each in some:
        own = at.setdefault(name(each), [])
        if each.has_density:
            own.append(each.density)
    together: dict[tuple[float, ...], list[str]] = {}
    for who, where in at.items():
        together.setdefault(tuple(where), []).append(who)
    parts = [
        f"{listed(names)} at {densities(where, everything)}" if where else listed(names)
        for where, names in together.items()
    ]
    return listed(parts, last=", and " if any(" and " in each for each in parts) else " and ")


def seeds(counts: Iterable[int]) -> str:
    """Return how many seeds something is of, such as `3 seeds` or `2 to 5 seeds`."""
    ordered = sorted(counts)
    return f"{' to '.join(map(str, dict.fromkeys((ordered[0], ordered[-1]))))} seeds"


def sizes(values: Iterable[float], places: int | None = 2) -> str:
    """Return how large differences are, such as `0.50` or `0.50 to 1.25`.

    Args:
        values: The differences, without their signs.
        places: Decimal places, but for what they would make 0; None for four significant digits.
    """
    ordered = sorted(values)
    ends = [_size(each, places) for each in (ordered[0], ordered[-1])]
    return " to ".join(dict.fromkeys(ends))


def _size(value: float, places: int | None) -> str:
    if places is None:
        return f"{value:.4g}"
    return f"{value:.{places}f}" if value >= 10.0**-places else f"{value:.2g}"


def written_p(value: float, *, rounding: str = ROUND_HALF_EVEN) -> str:
    """Return p to two significant digits, or as many as tell on which side of 0.05 it is.

    Args:
        value: A number from 0 to 1.
        rounding: As in `decimal`.
    """
    if value < _SMALLEST_P:
        return f"<{_SMALLEST_P:g}"
    exact, digits = Decimal(str(value)), 2
    while True:
        last = Decimal(1).scaleb(exact.adjusted() + 1 - digits)
        text = f"{float(exact.quantize(last, rounding)):.{digits}g}"
        if (float(text) <= LEVEL) == (value <= LEVEL):
            return text
        digits += 1


def p_value(pairs: Sequence[Comparison], bound: Bound = "at most") -> str:
    """Return p, corrected, of a comparison; of several, a bound of all."""
    values = [pair.p_corrected for pair in pairs]
    value = max(values) if bound == "at most" else min(values)
    if value < _SMALLEST_P:
        return f"p < {_SMALLEST_P:g}"
    if len(values) == 1 or (bound == "at least" and value == 1.0):
        return f"p = {written_p(value)}"
    if bound == "at most":
        return f"p ≤ {written_p(value, rounding=ROUND_CEILING)}"
    return f"p ≥ {written_p(value, rounding=ROUND_FLOOR)}"


def about(count: int) -> str:
    """Return a count with two significant digits."""
    return f"{int(float(f'{count:.2g}')):,}"
