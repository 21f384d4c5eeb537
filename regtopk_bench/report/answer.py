"""The answer in sentences: who is better, how certain that is, and what would make it so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from regtopk_bench.report.cost import Target, least_sent
from regtopk_bench.report.numbers import number
from regtopk_bench.report.phrases import (
    Bound,
    about,
    densities,
    in_one_sentence,
    listed,
    name,
    p_value,
    seeds,
    sentence,
    sizes,
)
from regtopk_bench.results.measures import (
    FINAL_ACCURACY,
    LOG10_GAP,
    LOG10_SENT_TO_TARGET,
)
from regtopk_bench.results.paired import MOST_SEEDS
from regtopk_bench.results.standing import Beaten, Standing, standings
from regtopk_bench.results.statistics import Comparison, Statistics, Summary

_FEW = 2
"""Densities that have a sentence each, even where they say the same."""


@dataclass(frozen=True)
class Wording:
    """How values of a metric are told."""

    metric: str
    name: str
    of_difference: str
    """The unit of a difference."""
    unit: str = ""
    """Behind a value."""
    scale: float = 1.0
    places: int | None = 2
    """Decimal places of a value without an interval; four significant digits where it is None."""

    def value(self, of: Summary) -> str:
        """Return a mean with its interval."""
        return number(of.metrics[self.metric].times(self.scale), self.places) + self.unit

    def size(self, pair: Comparison) -> float:
        """Return how large a difference is."""
        return abs(self.scale * pair.difference.mean)


GAP = Wording(LOG10_GAP, "log10 gap", "decades")
ACCURACY = Wording(FINAL_ACCURACY, "final accuracy", "points", unit=" %", scale=100.0)


def answers(
    statistics: Statistics,
    wording: Wording,
    target: Target,
    five_seeds: str = "--seeds 0-4 runs five",
) -> list[str]:
    """Return what the comparisons say, one sentence for the densities at which they say the same.

    With fewer than two seeds, nothing is called better than anything else.

    Args:
        statistics: The comparisons, of one problem and recipe.
        wording: How the metric is told that decides.
        target: What it takes to reach it is told, too.
        five_seeds: How to run several seeds, for whom has run one.
    """
    found = standings(statistics, wording.metric)
    everything = [each.density for each in statistics.summary]
    pairs = [
        pair
        for family in ("density", "reference")
        for pair in statistics.pairs(wording.metric, family)
    ]
    told = [*_same(found, everything), *_not_ranked(statistics, wording, everything)]
    if not any(pair.tests for pair in pairs):
        return [*told, *_without_verdict(statistics, pairs, five_seeds)]
    told += _verdicts(found, wording, everything)
    told += _against_references(statistics, wording, everything)
    told += least_sent(statistics, target)
    told += _legend(statistics, wording, target, found)
    return told


def _same(found: Sequence[tuple[float, Standing]], everything: Sequence[float]) -> list[str]:
    where: dict[tuple[str, ...], list[float]] = {}
    for density, each in found:
        for alike in each.same:
            where.setdefault(tuple(map(name, alike)), []).append(density)
    return [
        sentence(f"at {densities(at, everything)} {listed(names)} made the same runs, bit for bit")
        for names, at in where.items()
    ]


def _not_ranked(statistics: Statistics, wording: Wording, everything: Sequence[float]) -> list[str]:
    reasons: dict[str, list[Summary]] = {}
    for each in statistics.summary:
        if each.achievable and not each.ranked(wording.metric):
            count = each.finished + each.stopped + each.diverged + each.failed
            ended = {"diverged": each.diverged, "failed": each.failed}
            badly = [f"{some} of {count} {how}" for how, some in ended.items() if some]
            if badly:
                reason = listed(badly)
            elif each.finished:
                reason = f"no finite {wording.name}"
            else:
                reason = "stopped early"
            reasons.setdefault(reason, []).append(each)
    if not reasons:
        return []
    parts = [f"{in_one_sentence(of, everything)} ({why})" for why, of in reasons.items()]
    return [f"Not ranked: {'; '.join(parts)}"]


def _without_verdict(
    statistics: Statistics, pairs: Sequence[Comparison], five_seeds: str
) -> list[str]:
    if not pairs:
        return []
    if any(pair.difference.n > 1 for pair in pairs):
        return ["Runs are the same with every seed, so that several are worth one: no verdict"]
    if len({seed for each in statistics.summary for seed in each.seeds}) > 1:
        return ["No two algorithms finished on two seeds in common: no verdict"]
    return [f"One seed supports no verdict on which is better: {five_seeds}"]


def _verdicts(
    found: Sequence[tuple[float, Standing]], wording: Wording, everything: Sequence[float]
) -> list[str]:
    alike: dict[tuple[object, ...], list[tuple[float, Standing]]] = {}
    for position, (density, each) in enumerate(found):
        if each.beaten or len(each.leaders) > 1:
            beaten = tuple((name(one.by), name(one.loser)) for one in each.beaten)
            each_alone = position if len(found) <= _FEW else None
            key = (each_alone, tuple(sorted(map(name, each.leaders))), beaten)
            alike.setdefault(key, []).append((density, each))
    return [
        sentence(
            f"at {densities([density for density, _ in at], everything)} "
            f"{_verdict([each for _, each in at], wording)}"
        )
        for at in alike.values()
    ]


def _verdict(at: Sequence[Standing], wording: Wording) -> str:
    """Return what is the case at one density, or at several that are alike."""
    first, single = at[0], len(at) == 1
    clauses, introduced = [], set[str]()
    if len(first.leaders) > 1:
        clauses.append(_no_difference(at, wording))
        if any(math.isfinite(pair.p) for pair in first.open):
            introduced.update(map(name, first.leaders))
    for by in dict.fromkeys(name(each.by) for each in first.beaten):
        losers: dict[str, list[Beaten]] = {}
        for each in (one for where in at for one in where.beaten):
            if name(each.by) == by:
                losers.setdefault(name(each.loser), []).append(each)
        whom = listed(_loser(each, wording, single) for each in losers.values())
        (winner, *_) = (each.by for each in first.beaten if name(each.by) == by)
        value = (
            "" if not single or by in introduced else f" ({wording.name} {wording.value(winner)})"
        )
        clauses.append(f"{by}{value} beats {whom}")
    return "; ".join(clauses)


def _loser(beaten: Sequence[Beaten], wording: Wording, single: bool) -> str:
    """Return who was beaten at one density, or at several, and by how much."""
    loser = name(beaten[0].loser)
    p = p_value([each.comparison for each in beaten])
    if single:
        return f"{loser} ({wording.value(beaten[0].loser)}, {p})"
    by = sizes((wording.size(each.comparison) for each in beaten), wording.places)
    return f"{loser} by {by} {wording.of_difference} ({p})"


def _no_difference(at: Sequence[Standing], wording: Wording) -> str:
    """Return that leaders cannot be told apart, and how many seeds might do it."""
    first = at[0]
    names = [name(each) for each in first.leaders]
    pairs = [pair for each in at for pair in each.open]
    tested = [pair for pair in pairs if math.isfinite(pair.p)]
    if not tested:
        if any(pair.difference.n > 1 for pair in pairs):
            return f"the runs of {listed(names)} are the same with every seed: no verdict"
        return f"{listed(names)} have fewer than two seeds in common: no verdict"
    if len(at) == 1:
        values = [wording.value(each) for each in first.leaders]
        values[0] = f"{wording.name} {values[0]}"
        names = [f"{one} ({value})" for one, value in zip(names, values, strict=True)]
    how = p_value(tested, "at least")
    if len(pairs) == 1:
        difference = number(tested[0].difference.times(wording.scale), wording.places)
        difference = difference.removeprefix("-")
        how = f"{difference} {wording.of_difference}, {how}"
    over = seeds(pair.difference.n for pair in tested)
    told = f"no difference between {listed(names)} is distinguishable over {over} ({how})"
    if not any(pair.difference.mean for pair in tested):
        return f"{told}; the means are equal"
    known = [pair for pair in tested if pair.seeds_needed]
    if not known:
        return f"{told}; it would take more than {MOST_SEEDS:,} seeds"
    pair = min(known, key=lambda each: each.seeds_needed or math.inf)
    one = f"one of {sizes([wording.size(pair)], wording.places)} {wording.of_difference}"
    leaders = {each.group: name(each) for where in at for each in where.leaders}
    between = f"between {leaders[pair.first.group]} and {leaders[pair.second.group]}"
    where = [between] if len(first.leaders) > 2 else []
    where += [f"at density {pair.first.density:g}"] if len(at) > 1 else []
    which = f", as {' '.join(where)}" if where else ""
    return f"{told}; about {about(pair.seeds_needed or 0)} seeds would show {one}{which}"


def _against_references(
    statistics: Statistics, wording: Wording, everything: Sequence[float]
) -> list[str]:
    """Return what sparsifying costs: each algorithm against those without a density."""
    by_group = {each.group: each for each in statistics.summary}
    references: dict[str, dict[str, list[Comparison]]] = {}
    words = {"first": "better", "second": "worse", "open": "not distinguishable"}
    for pair in statistics.pairs(wording.metric, "reference"):
        if math.isfinite(pair.p) or pair.finding == "same":
            findings = references.setdefault(pair.second.group, {})
            findings.setdefault(words.get(pair.finding, "the same runs"), []).append(pair)
    told = []
    for key, findings in references.items():
        parts = []
        for how in [each for each in (*words.values(), "the same runs") if each in findings]:
            pairs = findings[how]
            who = in_one_sentence([by_group[pair.first.group] for pair in pairs], everything)
            bound: Bound = "at least" if how == "not distinguishable" else "at most"
            p = f" ({p_value(pairs, bound)})" if how != "the same runs" else ""
            parts.append(f"{how}: {who}{p}")
        reference = by_group[key]
        value = f"{wording.name} {wording.value(reference)}"
        told.append(f"Against {name(reference)} ({value}), {'; '.join(parts)}")
    return told


def _legend(
    statistics: Statistics,
    wording: Wording,
    target: Target,
    found: Sequence[tuple[float, Standing]],
) -> list[str]:
    """Return what p is corrected for, of each kind that was told, and what seeds are."""
    by_group = {each.group: each for each in statistics.summary}
    against = [pair for pair in statistics.pairs(wording.metric, "reference") if _is_told(pair)]
    kinds = []
    if any(map(_is_told, statistics.pairs(wording.metric, "density"))):
        kinds.append(("", "for all pairs at a density"))
    if against:
        them = listed(dict.fromkeys(name(by_group[pair.second.group]) for pair in against))
        kinds.append((f"against {them}, ", f"for all pairs with {them} at a density"))
    if target.text and any(map(_is_told, statistics.pairs(LOG10_SENT_TO_TARGET, "all"))):
        kinds.append(("of bytes, ", "for all pairs"))
    if not kinds:
        return []
    each_for = [what if len(kinds) == 1 else f"{where}{what}" for where, what in kinds]
    told = f"p: t-test paired by seed, corrected (Holm) {'; '.join(each_for)}"
    if any(pair.seeds_needed for _, each in found for pair in each.open):
        told += (
            "; seeds: how many would show, 4 times in 5, a difference as large and as variable as "
            "the one found"
        )
    return [told]


def _is_told(pair: Comparison) -> bool:
    return math.isfinite(pair.p) and pair.finding != "same"
