"""Runs that differ in their seed only, summed up; and two algorithms compared by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.results.schema import Run, Scalar

_SMALLEST = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Estimate:
    """A mean with the half-width of its 95 % confidence interval."""

    mean: float
    half_width: float | None
    """From Student's t over the seeds; None for a single seed."""

    def times(self, factor: float) -> Estimate:
        """Return it in another unit."""
        half_width = None if self.half_width is None else factor * self.half_width
        return Estimate(factor * self.mean, half_width)


@dataclass(frozen=True)
class Group:
    """The runs of one configuration, one per seed."""

    cell: dict[str, Scalar]
    """The configuration, without the seed."""

    runs: Sequence[Run]

    def values(self, name: str) -> NDArray[np.float64]:
        """Return a metric of every run, (seeds,); NaN where a run has none."""
        return np.array([run.metrics.get(name, math.nan) for run in self.runs])

    def mean_execution(self, name: str) -> float:
        """Return the mean over seeds of a machine-dependent value."""
        return float(np.mean([run.execution.get(name, math.nan) for run in self.runs]))

    @property
    def failures(self) -> list[Run]:
        """The runs that did not finish because of an error."""
        return [run for run in self.runs if run.status == "failed"]

    def mean_log10_trace(self, name: str) -> NDArray[np.float64]:
        """Return the mean over seeds of log10 of a trace, as long as the shortest run."""
        traces = [run.traces.get(name, []) for run in self.runs]
        length = min(map(len, traces))
        return np.asarray(np.mean([log10(np.array(trace[:length])) for trace in traces], axis=0))


def log10(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log10, with 0 as the smallest normal float so that it can be drawn."""
    return np.asarray(np.log10(np.maximum(values, _SMALLEST)))


def groups(runs: Iterable[Run]) -> list[Group]:
    """Gather runs that differ in nothing but their seed, in order of appearance."""
    gathered: dict[str, list[Run]] = {}
    cells: dict[str, dict[str, Scalar]] = {}
    for run in runs:
        cell = {name: value for name, value in run.cell.items() if name != "seed"}
        gathered.setdefault(repr(cell), []).append(run)
        cells[repr(cell)] = cell
    return [Group(cells[key], members) for key, members in gathered.items()]


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Return mean and 95 % confidence interval over seeds."""
    if len(values) < 2:  # and SciPy's statistics, slow to import, are not needed
        return Estimate(float(values.mean()) if len(values) else math.nan, None)
    from scipy import stats

    half_width = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return Estimate(float(values.mean()), float(half_width))


def median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return a 95 % confidence interval of the median, whatever the distribution.

    Its ends are two of the values. Fewer than six have no such interval: all of their range is
    returned, which holds the median with probability 1 - 2^(1-n).
    """
    ordered = np.sort(values)
    from scipy import stats

    outside = max(0, int(stats.binom.ppf(0.025, len(ordered), 0.5)) - 1)
    return float(ordered[outside]), float(ordered[-1 - outside])


@dataclass(frozen=True)
class Comparison:
    """Two algorithms on the same seeds."""

    density: Scalar
    difference: Estimate
    """First minus second."""

    p_t: float
    """Paired t-test, two-sided."""

    p_wilcoxon: float
    """Wilcoxon signed-rank test, two-sided; it cannot go below 2^(1-seeds)."""

    seeds: int


def compare(first: Group, second: Group, value: Callable[[Run], float]) -> Comparison | None:
    """Compare a value of runs by seed; None for fewer than two seeds in common."""
    by_seed = {run.cell["seed"]: value(run) for run in second.runs}
    pairs = [
        (value(run), by_seed[run.cell["seed"]]) for run in first.runs if run.cell["seed"] in by_seed
    ]
    values_S2 = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    values_S2 = values_S2[np.isfinite(values_S2).all(axis=1)]
    difference = values_S2[:, 0] - values_S2[:, 1]
    if len(difference) < 2:
        return None
    from scipy import stats

    if not difference.any():
        p_t = p_wilcoxon = 1.0
    elif np.ptp(difference) == 0.0:
        p_t, p_wilcoxon = 0.0, float(stats.wilcoxon(difference).pvalue)
    else:
        p_t = float(stats.ttest_rel(values_S2[:, 0], values_S2[:, 1]).pvalue)
        p_wilcoxon = float(stats.wilcoxon(difference).pvalue)
    return Comparison(
        first.cell.get("density"), estimate(difference), p_t, p_wilcoxon, len(difference)
    )


def first_round(reached: NDArray[np.bool_]) -> int | None:
    """Return the first round, from 1, after which something holds."""
    rounds = np.flatnonzero(reached)
    return int(rounds[0]) + 1 if len(rounds) else None


def mean_if_all(values: Sequence[float | None]) -> float | None:
    """Return the mean of values that all are known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
