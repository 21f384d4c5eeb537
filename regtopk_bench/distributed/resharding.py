"""A saved state for another number of ranks.

What N ranks have yet to add to the aggregate is Σ ε_n / N. Rank n of N stands for the interval from
n/N to (n + 1)/N, and rank m of M takes over what lies in its own: ε_m = M Σ_n |overlap| ε_n. As the
overlaps of n add up to 1/N, Σ ε_m / M = Σ ε_n / N. From four ranks to two, pairs are averaged; from
two to four, each residual serves two ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from torch import Tensor

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError

Saved = Mapping[str, Any]

VERSION = 1
"""Of the form in which a state is saved."""

_OF_THE_RANK = {"iteration", "rank", "ranks", "statistics"}
CONTENTS = _OF_THE_RANK | {"parameters", "came", "sections", "held"}
"""What is in it besides."""


def share_of(saved: Saved | Sequence[Saved], rank: int, ranks: int) -> Saved:
    """Return what a rank goes on from, given what was saved.

    Args:
        saved: What one rank has saved, or several.
        rank: The one that goes on.
        ranks: How many do, M.

    Raises:
        ConfigurationError: If those that are needed are not there.
    """
    each: list[Any] = list(saved) if isinstance(saved, list | tuple) else [saved]
    for one in each:
        _check(one)
    by_rank: dict[int, Saved] = {one["rank"]: one for one in each}
    if len({(one["ranks"], one["iteration"]) for one in by_rank.values()}) != 1:
        raise ConfigurationError("saved states: expected those of one iteration of the same ranks")
    before = next(iter(by_rank.values()))["ranks"]
    factors = _factors(rank, ranks, before)
    missing = factors.keys() - by_rank.keys()
    if missing:
        raise ConfigurationError(
            f"rank {rank} of {ranks} cannot go on without what rank {min(missing)} of {before} has "
            "saved: load the states of all ranks, as a list"
        )
    if ranks == before:
        return by_rank[rank]
    return _blended([(by_rank[number], float(factor)) for number, factor in factors.items()]) | {
        "rank": rank,
        "ranks": ranks,
    }


def _factors(rank: int, ranks: int, before: int) -> dict[int, Fraction]:
    """Return M times the overlap of a rank's interval with those before, where there is one."""
    factors = {}
    for other in range(before):
        start = max(Fraction(rank, ranks), Fraction(other, before))
        end = min(Fraction(rank + 1, ranks), Fraction(other + 1, before))
        if start < end:
            factors[other] = ranks * (end - start)
    return factors


def _blended(shares: Sequence[tuple[Saved, float]]) -> dict[str, Any]:
    """Return the sum of what some ranks have saved, times their factors, without memory."""
    first = shares[0][0]
    sections = []
    for place, section in enumerate(first["sections"]):
        entries: dict[str, Tensor] = {}
        for saved, factor in shares:
            for name, row in saved["sections"][place]["entries"].items():
                entries[name] = entries[name] + factor * row if name in entries else factor * row
        sections.append({**section, "entries": entries, "memory": {}})
    return {**first, "sections": sections}


def _check(saved: Any) -> None:
    """Raise ConfigurationError unless this is what `SparseState.state_dict` returned."""
    if (
        not isinstance(saved, Mapping)
        or saved.get("version") != VERSION
        or not saved.keys() >= CONTENTS
    ):
        raise ConfigurationError(
            f"expected what SparseState.state_dict() of this version returned, not {shown(saved)}"
        )
