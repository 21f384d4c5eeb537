"""Statistics over runs that differ only in their seed, and comparisons paired by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.algorithms import algorithm
from regtopk_bench.results.schema import Run, TrainingCell

_SMALLEST = np.finfo(np.float64).tiny
_MANY = 200
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


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

    cell: TrainingCell
    """The cell of one of them; the others differ in the seed only."""

    by_seed: Mapping[int, Run]

    @property
    def runs(self) -> list[Run]:
        """The runs, in order of appearance."""
        return list(self.by_seed.values())

    @property
    def density(self) -> float:
        """The density, k/J: see `density_of`."""
        return density_of(self.runs[0])

    def values(self, name: str) -> NDArray[np.float64]:
        """Return a metric of every run, (seeds,); NaN where a run has none."""
        return np.array([run.metrics.get(name, math.nan) for run in self.runs])

    def mean_execution(self, name: str) -> float:
        """Return the mean over seeds of a machine-dependent value."""
        return float(np.mean([run.execution.get(name, math.nan) for run in self.runs]))

    @property
    def failures(self) -> list[Run]:
        """The runs that ended with an error."""
        return [run for run in self.runs if run.status in ("diverged", "failed")]

    def mean_log10_trace(self, name: str) -> NDArray[np.float64]:
        """Return the mean over seeds of log10 of a trace, as long as the shortest run."""
        traces = [run.traces[name] for run in self.runs]
        length = min(map(len, traces))
        return np.asarray(np.mean([log10(np.array(trace[:length])) for trace in traces], axis=0))


def density_of(run: Run) -> float:
    """Return the density that a training run was given, or k/J; 1 where it was given neither."""
    assert isinstance(run.cell, TrainingCell)
    sparsifier = run.cell.sparsifier
    if "density" in sparsifier:
        return float(sparsifier["density"] or math.nan)
    if "k" in sparsifier:
        return float(sparsifier["k"] or math.nan) / run.metrics["parameters"]
    return 1.0


def sent_bytes(run: Run) -> NDArray[np.float64]:
    """Return the bytes that one worker sends in each round, (rounds,): a mean over the workers.

    They include messages and what workers exchange to agree on a selection. For a bound
    that no system can reach, the latter is not counted: see `Algorithm.achievable`.
    """
    assert isinstance(run.cell, TrainingCell)
    sent = np.array(run.traces["uplink_bytes"], dtype=np.float64)
    if algorithm(run.cell.algorithm).achievable:
        sent = sent + np.array(run.traces["coordination_bytes"])
    return sent / run.metrics["workers"]


def sent_bytes_to(run: Run, rounds: int | None) -> float | None:
    """Return the bytes that one worker has sent after this many rounds."""
    return None if rounds is None else float(sent_bytes(run)[:rounds].sum())


def log10(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log10, with 0 as the smallest normal float so that it can be drawn."""
    return np.asarray(np.log10(np.maximum(values, _SMALLEST)))


def groups(runs: Iterable[Run]) -> list[Group]:
    """Group training runs that differ only in their seed, in order of appearance."""
    cells: dict[str, TrainingCell] = {}
    by_seed: dict[str, dict[int, Run]] = {}
    for run in runs:
        if isinstance(run.cell, TrainingCell):
            key = run.cell.group
            cells.setdefault(key, run.cell)
            by_seed.setdefault(key, {})[run.cell.seed] = run
    return [Group(cells[key], by_seed[key]) for key in cells]


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Return mean and 95 % confidence interval over seeds."""
    if len(values) < 2:  # and SciPy, slow to import, is not needed
        return Estimate(float(values.mean()) if len(values) else math.nan, None)
    return Estimate(float(values.mean()), float(half_widths(values)))


def half_widths(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the width of the mean's 95 % confidence interval over seeds, the first axis."""
    from scipy import special

    return np.asarray(special.stdtrit(len(values) - 1, 0.975) * _standard_error(values))


def median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return a 95 % confidence interval of the median, whatever the distribution.

    Its ends are two of the values. Fewer than six have no such interval: their whole range is
    returned, which contains the median with probability 1 - 2^(1-n).
    """
    ordered = np.sort(values)
    throws = len(ordered)
    outside, ways = 0, 1  # in which at most `outside` of as many coin tosses are heads
    while 40 * ways < 2**throws:
        outside += 1
        ways += math.comb(throws, outside)
    outside = max(0, outside - 1)
    return float(ordered[outside]), float(ordered[-1 - outside])


@dataclass(frozen=True)
class Comparison:
    """Two configurations on the same seeds."""

    difference: Estimate
    """First minus second."""

    p_t: float
    """Paired t-test, two-sided."""

    p_wilcoxon: float
    """Wilcoxon signed-rank test, two-sided; it cannot go below 2^(1-seeds)."""

    seeds: int


def compare(first: Group, second: Group, value: Callable[[Run], float]) -> Comparison | None:
    """Compare a value of runs by seed; None for fewer than two seeds in common."""
    common = [seed for seed in first.by_seed if seed in second.by_seed]
    pairs = [(value(first.by_seed[seed]), value(second.by_seed[seed])) for seed in common]
    values_S2 = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    values_S2 = values_S2[np.isfinite(values_S2).all(axis=1)]
    difference = values_S2[:, 0] - values_S2[:, 1]
    if len(difference) < 2:
        return None
    return Comparison(
        estimate(difference), paired_t(difference), signed_rank(difference), len(difference)
    )


def paired_t(differences: NDArray[np.float64]) -> float:
    """Return p of the paired t-test, two-sided; 1 where nothing differs."""
    error = _standard_error(differences)
    if error == 0.0:
        return 0.0 if differences.any() else 1.0
    from scipy import special

    t = abs(differences.mean()) / error
    return float(2.0 * special.stdtr(len(differences) - 1, -t))


def signed_rank(differences: NDArray[np.float64]) -> float:
    """Return p of Wilcoxon's signed-rank test, two-sided; 1 where nothing differs.

    Differences of 0 are left out, and equal ones share their mean rank. Below 200 differences,
    p is exact, ties included: the share of all choices of signs that are as extreme. From 200 on,
    the normal limit is used.
    """
    signed = differences[differences != 0.0]
    sizes = np.sort(np.abs(signed))
    left, right = (np.searchsorted(sizes, np.abs(signed), side) for side in _SIDES)
    ranks = left + right + 1  # twice the mean rank, a whole number
    smaller = min(ranks[signed > 0.0].sum(), ranks[signed < 0.0].sum())
    if len(ranks) >= _MANY:
        from scipy import special

        z = (smaller - ranks.sum() / 2.0) / (np.linalg.norm(ranks) / 2.0)
        return float(2.0 * special.ndtr(z))
    chances = np.ones(1)  # of each sum of the ranks with one sign
    for rank in ranks:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2.0
    return min(1.0, float(2.0 * chances[: smaller + 1].sum()))


def _standard_error(values: NDArray[np.float64]) -> Any:
    return values.std(axis=0, ddof=1) / math.sqrt(len(values))


def first_round(reached: NDArray[np.bool_]) -> int | None:
    """Return the first round, from 1, after which a condition holds."""
    rounds = np.flatnonzero(reached)
    return int(rounds[0]) + 1 if len(rounds) else None


def mean_if_all(values: Sequence[float | None]) -> float | None:
    """Return the mean if all values are known, else None."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
