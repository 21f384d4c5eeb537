"""Who leads, and whom the leaders beat: what the comparisons of a family say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from regtopk_bench.results.statistics import Comparison, Statistics, Summary


@dataclass(frozen=True)
class Beaten:
    """A configuration that is worse than another."""

    by: Summary
    loser: Summary
    comparison: Comparison


@dataclass(frozen=True)
class Standing:
    """Configurations, of which all pairs were compared, by who beats whom."""

    same: tuple[tuple[Summary, ...], ...]
    """Sets that made the same runs; below, the first of each stands for all."""

    leaders: tuple[Summary, ...]
    """Those that none beats, the one with the best mean first."""

    open: tuple[Comparison, ...]
    """The comparisons between leaders."""

    beaten: tuple[Beaten, ...]
    """The others, each with the foremost that beats it, in the order of those."""

    @property
    def winners(self) -> tuple[Summary, ...]:
        """Who beats all others: one, or several that made the same runs; else nobody."""
        if len(self.leaders) != 1 or not self.beaten:
            return ()
        (leader,) = self.leaders
        if any(each.by is not leader for each in self.beaten):
            return ()
        return next((each for each in self.same if each[0] is leader), (leader,))


def standings(statistics: Statistics, metric: str) -> list[tuple[float, Standing]]:
    """Return a density and the standing at it, wherever at least two configurations were compared.

    A density has several if its configurations differ in more, as in the scope of selection or in
    the problem: only what is compared in pairs has a standing together.
    """
    families: dict[str, list[Comparison]] = {}  # by each of its members
    for pair in statistics.pairs(metric, "density"):
        members = pair.first.group, pair.second.group
        family = next((families[each] for each in members if each in families), [])
        family.append(pair)
        families.update(dict.fromkeys(members, family))
    return [
        (pairs[0].first.density, standing(statistics.summary, pairs, metric))
        for pairs in {id(each): each for each in families.values()}.values()
    ]


def winners(statistics: Statistics, metric: str) -> set[str]:
    """Return the groups that beat all others at their density; of some, nobody does."""
    found = standings(statistics, metric)
    return {winner.group for _, each in found for winner in each.winners}


def standing(summary: Iterable[Summary], pairs: Sequence[Comparison], metric: str) -> Standing:
    """Return the standing of the configurations that are compared in pairs, of at least one."""
    named = {each.group for pair in pairs for each in (pair.first, pair.second)}
    members = [each for each in summary if each.group in named]
    between = {frozenset((pair.first.group, pair.second.group)): pair for pair in pairs}
    sets = _same(members, between)
    sign = 1.0 if pairs[0].better == "lower" else -1.0
    distinct = sorted((each[0] for each in sets), key=lambda each: sign * each.metrics[metric].mean)

    def beats(one: Summary, other: Summary) -> Comparison | None:
        pair = between.get(frozenset((one.group, other.group)))
        if pair is None or pair.finding not in ("first", "second"):
            return None
        better = pair.first if pair.finding == "first" else pair.second
        return pair if better.group == one.group else None

    leaders = [each for each in distinct if not any(beats(other, each) for other in distinct)]
    foremost = [*leaders, *(each for each in distinct if each not in leaders)]
    beaten = []
    for loser in foremost[len(leaders) :]:
        found = ((by, beats(by, loser)) for by in foremost)
        beaten.append(next(Beaten(by, loser, pair) for by, pair in found if pair))
    open_pairs = [
        pair
        for one, other in combinations(leaders, 2)
        if (pair := between.get(frozenset((one.group, other.group))))
    ]
    return Standing(
        same=tuple(tuple(each) for each in sets if len(each) > 1),
        leaders=tuple(leaders),
        open=tuple(open_pairs),
        beaten=tuple(sorted(beaten, key=lambda each: foremost.index(each.by))),
    )


def _same(
    members: Sequence[Summary], between: Mapping[frozenset[str], Comparison]
) -> list[list[Summary]]:
    """Return sets of configurations that made the same runs, of one or more each."""
    sets: list[list[Summary]] = []
    for member in members:
        for known in sets:
            pair = between.get(frozenset((known[0].group, member.group)))
            if pair and pair.finding == "same":
                known.append(member)
                break
        else:
            sets.append([member])
    return sets
