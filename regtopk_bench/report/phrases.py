"""Parts of sentences about configurations: names, densities, numbers with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from regtopk_bench.algorithms import ALGORITHMS
from regtopk_bench.results.statistics import Comparison, Summary
from regtopk_bench.results.summary import Estimate

Bound = Literal["at most", "at least"]

_LEAST_P = 1e-300
"""What is told of p that is too small to be computed."""


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def listed(parts: Iterable[str], comma: str = ", ") -> str:
    """Return `a, b and c`."""
    *others, last = parts
    return f"{comma.join(others)} and {last}" if others else last


def name(of: Summary) -> str:
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


def in_one_sentence(some: Sequence[Summary], everything: Sequence[float]) -> str:
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
    return listed(parts)


def seeds(pairs: Sequence[Comparison]) -> str:
    """Return on how many seeds pairs were compared, such as `3 seeds` or `2 to 5 seeds`."""
    counts = sorted({pair.difference.n for pair in pairs})
    return f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seeds"


def number(value: Estimate, digits: int = 2) -> str:
    """Return a mean with its interval, to so many decimal places."""
    spread = "" if value.half_width is None else f"±{value.half_width:,.{digits}f}"
    return f"{value.mean:,.{digits}f}{spread}"


def amount(value: Estimate, digits: int = 3) -> str:
    """Return a mean above 0 with its interval, to so many significant digits of the mean."""
    return number(value, max(0, digits - 1 - math.floor(math.log10(value.mean))))


def p_value(values: Sequence[float], bound: Bound = "at most") -> str:
    """Return p; of several, the largest or the smallest."""
    value = max(values) if bound == "at most" else min(values)
    exactly = len(values) == 1 or (bound == "at least" and value == 1.0)
    sign = "=" if exactly else "≤" if bound == "at most" else "≥"
    return f"p {sign} {value:.2g}" if value else f"p < {_LEAST_P:.0g}"


def about(count: int) -> str:
    """Return a count with two significant digits."""
    return f"{int(float(f'{count:.2g}')):,}"
