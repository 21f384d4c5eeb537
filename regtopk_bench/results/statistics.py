"""What a result's runs say together: means over seeds, and every pair of algorithms compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from regtopk_bench.algorithms import algorithm
from regtopk_bench.results.alike import ignores_seeds, made_the_same_runs
from regtopk_bench.results.holm import corrected
from regtopk_bench.results.labels import labels, parameters
from regtopk_bench.results.measures import Better, Measure, measures_of
from regtopk_bench.results.paired import LEVEL, paired_t, seeds_needed, signed_rank
from regtopk_bench.results.recorded import recorded_measures
from regtopk_bench.results.schema import LIBRARY, Result, Run
from regtopk_bench.results.summary import Estimate, Group, estimate, groups
from regtopk_bench.results.values import Facts, Model, Number

Finding = Literal["first", "second", "same", "open"]
Family = Literal["density", "reference", "all"]


class Configuration(Model):
    """An algorithm with its parameters, at a density."""

    group: str
    """Identifies it among the configurations of a result."""

    label: str
    """Its name in tables: the algorithm, with the parameters that others have otherwise."""

    density: Number
    """k/J; 1 for an algorithm without one, whatever it sends."""


class Variant(Configuration):
    """A configuration with all that its algorithm was given."""

    algorithm: str
    """Its full name."""

    has_density: bool
    """False for one that was not told how much to send, as dense."""

    parameters: Facts
    """Its hyper-parameters besides the density."""

    achievable: bool
    """False for a bound that no system can reach: it is compared with nothing."""


class Summary(Variant):
    """The runs of a configuration."""

    seeds: list[int]
    """Those that means are over: of the runs that finished or, if none did, of those stopped."""

    finished: int
    stopped: int
    diverged: int
    failed: int

    metrics: dict[str, Estimate]
    """Means over these seeds, in SI units."""

    def ranked(self, metric: str) -> bool:
        """Tell whether it may be called better or worse: all its runs ended well, with a value."""
        return (
            self.achievable
            and self.finished > 0
            and not (self.diverged or self.failed)
            and math.isfinite(self.metrics[metric].mean)
        )


class Comparison(Model):
    """Two configurations on the seeds with which both finished."""

    metric: str

    better: Better
    """Which of two values is better."""

    first: Configuration

    second: Configuration

    family: Family
    """What p is corrected for: all pairs at a "density", all pairs with a "reference", an algorithm
    without a density, of those at a density or without one, or "all" pairs."""

    tests: int
    """How many tests that family has."""

    difference: Estimate
    """First minus second, paired by seed; n counts the pairs."""

    p: Number
    """Of the paired t-test, two-sided. Where all differences are the same number, of their signs
    alone. Null for fewer than two pairs, and where neither of the two depends on the seed."""

    p_corrected: Number
    """The same, corrected for the tests of the family (Holm)."""

    p_wilcoxon: Number
    """Of Wilcoxon's signed-rank test, two-sided; it cannot go below 2^(1-n)."""

    finding: Finding
    """Which one is better, at p_corrected <= 0.05; "same" for runs that are alike bit for bit; else
    it is "open"."""

    seeds_needed: int | None
    """Where it is open: with how many seeds a difference as large and with as much spread would be
    found in 80 % of experiments, at a level of 0.05 divided by the number of tests; null if 10,000
    would not do."""


class Statistics(Model):
    """All that is to be said of the runs of a result, besides each by itself."""

    summary: list[Summary] = Field(default_factory=list)
    """Means over seeds, for every configuration in order of appearance."""

    comparisons: list[Comparison] = Field(default_factory=list)
    """Every pair at a density, every pair with an algorithm without a density, and for what it
    takes to reach a target, every pair."""

    def of(self, group: Group) -> Summary:
        """Return the summary of a group."""
        key = group.cell.group
        return next(each for each in self.summary if each.group == key)

    def pairs(self, metric: str, family: Family) -> list[Comparison]:
        """Return the comparisons of a family that are of a metric."""
        return [each for each in self.comparisons if (each.metric, each.family) == (metric, family)]


def statistics_of(result: Result) -> Statistics:
    """Return the statistics of a result; they are empty if its command compares nothing."""
    measures: Sequence[Measure] = measures_of(result)
    if result.command == LIBRARY:
        measures = recorded_measures(result.runs, {})
    return statistics(result.runs, measures) if measures else Statistics()


@np.errstate(all="ignore")  # numbers at the edge of floating point become inf or nan
def statistics(runs: Iterable[Run], measures: Sequence[Measure]) -> Statistics:
    """Return the means over seeds, and the comparisons paired by seed.

    Bounds that no system can reach are compared with nothing, and neither is a configuration of
    which a run diverged or failed, or that has no finite value with some seed.

    Args:
        runs: Training runs, of any problems and recipes: only what shares both is compared.
        measures: What is measured of them.
    """
    everything = groups(runs)
    named = labels(group.cell for group in everything)
    members = [_Member.of(group, str(named[group.cell.group]), measures) for group in everything]
    comparisons = [
        comparison
        for measure in measures
        if measure.better
        for family, pairs in _families(members, measure)
        for comparison in _compared(pairs, measure, measure.better, family)
    ]
    return Statistics(summary=[each.summary for each in members], comparisons=comparisons)


@dataclass(frozen=True)
class _Member:
    """A group with its values."""

    group: Group
    summary: Summary
    values: Mapping[str, Mapping[int, float]]
    """By measure and seed."""

    @staticmethod
    def of(group: Group, label: str, measures: Sequence[Measure]) -> _Member:
        counted = group.counted
        values = {
            each.name: {seed: each.value(run) for seed, run in counted.items()} for each in measures
        }
        statuses = [run.status for run in group.runs]
        summary = Summary(
            group=group.cell.group,
            label=label,
            density=group.density,
            algorithm=group.cell.algorithm,
            has_density=group.has_density,
            parameters=parameters(group.cell),
            achievable=algorithm(group.cell.algorithm).achievable,
            seeds=list(counted),
            finished=statuses.count("finished"),
            stopped=statuses.count("stopped"),
            diverged=statuses.count("diverged"),
            failed=statuses.count("failed"),
            metrics={
                each.name: estimate(
                    _array(values[each.name].values()), each.least_spread(counted.values())
                )
                for each in measures
            },
        )
        return _Member(group, summary, values)

    @property
    def configuration(self) -> Configuration:
        which = self.summary
        return Configuration(group=which.group, label=which.label, density=which.density)

    @property
    def setting(self) -> tuple[Any, ...]:
        return self.group.cell.problem, self.group.cell.recipe

    @property
    def budget(self) -> tuple[Any, ...]:
        """What two sparsifiers must share to send as many entries; None for one without a density.

        A density and the k that it comes to are the same.
        """
        scope = self.group.cell.sparsifier.get("scope")
        return (self.summary.density, scope) if self.group.has_density else (None, None)


Pairs = list[tuple[_Member, _Member]]


def _families(members: Sequence[_Member], measure: Measure) -> Iterator[tuple[Family, Pairs]]:
    """Yield the pairs to be compared, the later one first, by what p is corrected for."""
    ranked = [each for each in members if each.summary.ranked(measure.name)]
    families: dict[tuple[Any, ...], Pairs] = {}
    for second, first in combinations(ranked, 2):
        if first.setting != second.setting:
            continue
        where = tuple(map(repr, first.setting))
        if measure.across_densities:
            families.setdefault(("all", where), []).append((first, second))
        elif not (first.group.has_density and second.group.has_density):
            if second.group.has_density:
                first, second = second, first
            families.setdefault(("reference", where, first.budget), []).append((first, second))
        elif first.budget == second.budget:
            families.setdefault(("density", where, first.budget), []).append((first, second))
    for (family, *_), pairs in families.items():
        yield family, pairs


def _compared(
    pairs: Pairs, measure: Measure, better: Better, family: Family
) -> Iterator[Comparison]:
    """Yield the comparisons of a family."""
    differences = [_differences(first, second, measure) for first, second in pairs]
    p = _array(_p(*pair, *each) for pair, each in zip(pairs, differences, strict=True))
    tested = np.isfinite(p)
    p_corrected = np.full(len(p), math.nan)
    p_corrected[tested] = corrected(p[tested])
    tests = int(tested.sum())
    for number, ((first, second), (values, least)) in enumerate(
        zip(pairs, differences, strict=True)
    ):
        finding = _finding(first, second, values, float(p_corrected[number]), better)
        is_tested = bool(tested[number])
        needed = finding == "open" and is_tested
        yield Comparison(
            metric=measure.name,
            better=better,
            first=first.configuration,
            second=second.configuration,
            family=family,
            tests=tests,
            difference=_difference(first, second, values, least, finding),
            p=float(p[number]),
            p_corrected=float(p_corrected[number]),
            p_wilcoxon=signed_rank(values) if is_tested else math.nan,
            finding=finding,
            seeds_needed=seeds_needed(values, LEVEL / tests, least) if needed else None,
        )


def _differences(
    first: _Member, second: _Member, measure: Measure
) -> tuple[NDArray[np.float64], float]:
    """Return first minus second on the seeds of both, and its least standard deviation."""
    ours, theirs = first.values[measure.name], second.values[measure.name]
    common = [seed for seed in ours if seed in theirs]
    values = _array(ours[seed] - theirs[seed] for seed in common)
    runs = [each.group.by_seed[seed] for each in (first, second) for seed in common]
    return values, math.sqrt(2.0) * measure.least_spread(runs)


def _p(first: _Member, second: _Member, differences: NDArray[np.float64], least: float) -> float:
    if len(differences) < 2 or _ignore_seeds(first, second):
        return math.nan
    return paired_t(differences, least)


def _difference(
    first: _Member,
    second: _Member,
    differences: NDArray[np.float64],
    least: float,
    finding: Finding,
) -> Estimate:
    """Return the mean difference; of equal ones, or of one run, nothing is known of the spread."""
    found = estimate(differences, least)
    if finding == "same" or (found.half_width and not _ignore_seeds(first, second)):
        return found
    return found.model_copy(update={"half_width": None})


def _finding(
    first: _Member,
    second: _Member,
    differences: NDArray[np.float64],
    p: float,
    better: Better,
) -> Finding:
    if len(differences) and not differences.any() and made_the_same_runs(first.group, second.group):
        return "same"
    if not p <= LEVEL:
        return "open"
    return "first" if (differences.mean() > 0.0) == (better == "higher") else "second"


def _ignore_seeds(first: _Member, second: _Member) -> bool:
    """Tell whether neither depends on the seed: then all seeds are worth no more than one."""
    return ignores_seeds(first.group) and ignores_seeds(second.group)


def _array(values: Iterable[float]) -> NDArray[np.float64]:
    return np.array(list(values), dtype=np.float64)
