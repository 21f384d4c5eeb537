"""The answer in sentences: who is better, how certain that is, and what would make it so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regtopk_bench.report.phrases import (
    Bound,
    about,
    amount,
    densities,
    in_one_sentence,
    listed,
    name,
    number,
    p_value,
    seeds,
    sentence,
)
from regtopk_bench.results.measures import (
    FINAL_ACCURACY,
    LOG10_GAP,
    LOG10_SENT_TO_TARGET,
    SENT_TO_TARGET,
)
from regtopk_bench.results.paired import MOST_SEEDS
from regtopk_bench.results.standing import Beaten, Standing, standing, standings
from regtopk_bench.results.statistics import Comparison, Statistics, Summary

_FEW = 2
"""Densities that have a sentence each, even where they say the same."""

_MOST_NAMED = 3
"""Configurations in a list; of more, the first are named and the others counted."""


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
    digits: int = 2
    """Behind the point."""

    def value(self, of: Summary) -> str:
        """Return a mean with its interval."""
        return number(of.metrics[self.metric].times(self.scale), self.digits) + self.unit

    def size(self, pair: Comparison) -> float:
        """Return how large a difference is."""
        return abs(self.scale * pair.difference.mean)


GAP = Wording(LOG10_GAP, "log10 gap", "decades")
ACCURACY = Wording(FINAL_ACCURACY, "final accuracy", "points", unit=" %", scale=100.0)


@dataclass(frozen=True)
class Target:
    """What a run should reach, and how bytes that it takes are told."""

    text: str
    """Empty if there is none."""
    unit: str
    in_bytes: float


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
    told += _least_sent(statistics, target)
    corrected = "p: t-test paired by seed, corrected for all pairs at a density (Holm)"
    power = any(pair.seeds_needed for each in found.values() for pair in each.open)
    return [*told, corrected + ("; seeds are those that show it 4 times in 5" if power else "")]


def _same(found: Mapping[float, Standing], everything: Sequence[float]) -> list[str]:
    where: dict[tuple[str, ...], list[float]] = {}
    for density, each in found.items():
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
            if each.diverged or each.failed:
                how = "diverged" if each.diverged else "failed"
                reason = f"{each.diverged or each.failed} of {count} {how}"
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
    if max(len(each.seeds) for each in statistics.summary) > 1:
        return ["No two algorithms finished on two seeds in common: no verdict"]
    return [f"One seed supports no verdict on which is better: {five_seeds}"]


def _verdicts(
    found: Mapping[float, Standing], wording: Wording, everything: Sequence[float]
) -> list[str]:
    alike: dict[tuple[object, ...], dict[float, Standing]] = {}
    for density, each in found.items():
        if each.beaten or len(each.leaders) > 1:
            beaten = tuple((name(one.by), name(one.loser)) for one in each.beaten)
            each_alone = density if len(found) <= _FEW else None
            key = (each_alone, tuple(sorted(map(name, each.leaders))), beaten)
            alike.setdefault(key, {})[density] = each
    return [
        sentence(f"at {densities(list(at), everything)} {_verdict(at, wording)}")
        for at in alike.values()
    ]


def _verdict(at: Mapping[float, Standing], wording: Wording) -> str:
    """Return what is the case at one density, or at several that are alike."""
    first = next(iter(at.values()))
    single = len(at) == 1
    clauses, introduced = [], set[str]()
    if len(first.leaders) > 1:
        clauses.append(_no_difference(at, wording))
        if any(math.isfinite(pair.p) for pair in first.open):
            introduced.update(map(name, first.leaders))
    for by in dict.fromkeys(name(each.by) for each in first.beaten):
        losers: dict[str, list[Beaten]] = {}
        for each in (one for where in at.values() for one in where.beaten):
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
    p = [each.comparison.p_corrected for each in beaten]
    if single:
        return f"{loser} ({wording.value(beaten[0].loser)}, {p_value(p)})"
    sizes = sorted(wording.size(each.comparison) for each in beaten)
    smallest, largest = (f"{size:.{wording.digits}f}" for size in (sizes[0], sizes[-1]))
    by = f"{smallest} to {largest} {wording.of_difference}"
    return f"{loser} by {by} ({p_value(p, 'at most')})"


def _no_difference(at: Mapping[float, Standing], wording: Wording) -> str:
    """Return that leaders cannot be told apart, and how many seeds might do it."""
    first = next(iter(at.values()))
    names = [name(each) for each in first.leaders]
    pairs = [pair for each in at.values() for pair in each.open]
    tested = [pair for pair in pairs if math.isfinite(pair.p)]
    if not tested:
        if any(pair.difference.n > 1 for pair in pairs):
            return f"the runs of {listed(names)} are the same with every seed: no verdict"
        return f"{listed(names)} have fewer than two seeds in common: no verdict"
    if len(at) == 1:
        values = [wording.value(each) for each in first.leaders]
        values[0] = f"{wording.name} {values[0]}"
        names = [f"{one} ({value})" for one, value in zip(names, values, strict=True)]
    p = [pair.p_corrected for pair in tested]
    how = p_value(p, "at least")
    if len(pairs) == 1:
        difference = number(tested[0].difference.times(wording.scale), wording.digits)
        difference = difference.removeprefix("-")
        how = f"{difference} {wording.of_difference}, {how}"
    told = f"no difference between {listed(names)} is distinguishable over {seeds(tested)} ({how})"
    known = [pair for pair in tested if pair.seeds_needed]
    if not known:
        return f"{told}; it would take more than {MOST_SEEDS:,} seeds"
    pair = min(known, key=lambda each: each.seeds_needed or math.inf)
    found = wording.size(pair)
    size = f"{found:.{wording.digits}f}" if found >= 10.0**-wording.digits else f"{found:.2g}"
    one = f"one of {size} {wording.of_difference}"
    which = f", as at density {pair.first.density:g}" if len(at) > 1 else ""
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
            p = p_value([pair.p_corrected for pair in pairs], bound)
            parts.append(f"{how}: {who}" + (f" ({p})" if how != "the same runs" else ""))
        reference = by_group[key]
        value = f"{wording.name} {wording.value(reference)}"
        told.append(f"Against {name(reference)} ({value}), {'; '.join(parts)}")
    return told


def _least_sent(statistics: Statistics, target: Target) -> list[str]:
    """Return what reaches the target with the fewest bytes sent, whatever its density."""
    if not target.text:
        return []
    ranked = [each for each in statistics.summary if each.ranked(LOG10_SENT_TO_TARGET)]
    if any(len(each.seeds) < 2 for each in ranked):
        return []

    def sent(of: Summary) -> str:
        return f"{amount(of.metrics[SENT_TO_TARGET].times(1.0 / target.in_bytes))} {target.unit}"

    if not ranked:
        return [f"Nothing reached {target.text} on every seed"]
    if len(ranked) == 1:
        who = in_one_sentence(ranked, [])
        return [f"Only {who} reached {target.text} on every seed: {sent(ranked[0])} per worker"]
    pairs = statistics.pairs(LOG10_SENT_TO_TARGET, "all")
    found = standing(statistics.summary, pairs, LOG10_SENT_TO_TARGET)
    if not found.leaders:
        return []
    alike = {each[0].group: each for each in found.same}
    leaders = [
        f"{in_one_sentence(alike.get(each.group, (each,)), [])}"
        f"{' (the same runs)' if each.group in alike else ''}, {sent(each)}"
        for each in found.leaders
    ]
    shown = leaders[:_MOST_NAMED]
    shown += [f"{len(leaders) - len(shown)} more"] if len(leaders) > len(shown) else []
    if len(leaders) == 1:
        told = f"To {target.text}, least is sent by {leaders[0]} per worker"
    else:
        told = (
            f"To {target.text}, least is sent by {listed(shown, '; ')} per worker, with no "
            f"difference distinguishable over {seeds(found.open)}"
        )
    others = [each for each in found.beaten if each.by is found.leaders[0]]
    return [told + "".join(f"; {_more_sent(each)}" for each in _next_and_reference(others))]


def _next_and_reference(others: Sequence[Beaten]) -> list[Beaten]:
    """Return the next best, and the first without a density: what sparsifying saves."""
    ordered = sorted(others, key=lambda each: each.loser.metrics[SENT_TO_TARGET].mean)
    reference = [each for each in ordered[1:] if not each.loser.has_density]
    return [*ordered[:1], *reference[:1]]


def _more_sent(each: Beaten) -> str:
    ratio = 10.0 ** abs(each.comparison.difference.mean)
    times = f"{ratio:.3g}" if ratio < 100.0 else about(round(ratio))
    p = p_value([each.comparison.p_corrected])
    return f"{in_one_sentence([each.loser], [])} sends {times} times as much ({p})"
