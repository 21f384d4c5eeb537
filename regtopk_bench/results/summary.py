"""Runs that differ only in their seed, as groups, and means over them with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.algorithms import algorithm
from regtopk_bench.density import entries_kept
from regtopk_bench.results.paired import spread_of
from regtopk_bench.results.schema import Run, TrainingCell
from regtopk_bench.results.values import Model, Number

_SMALLEST = np.finfo(np.float64).tiny

LEAST_FOR_INTERVAL: Final = 6
"""Values without which their median has no 95 % confidence interval."""


class Estimate(Model):
    """A mean over seeds with the half-width of its 95 % confidence interval."""

    mean: Number
    """Not a number, which is null in JSON, unless every run has a value that is finite."""

    half_width: float | None
    """From Student's t over the seeds; None where it is unknown, as for a single one,
    or for differences that happen to be the same number with every seed."""

    n: int
    """How many of the values are finite."""

    def times(self, factor: float) -> Estimate:
        """Return it in another unit."""
        half_width = None if self.half_width is None else factor * self.half_width
        return Estimate(mean=factor * self.mean, half_width=half_width, n=self.n)


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
    def counted(self) -> dict[int, Run]:
        """The runs that means are over, by seed: those that finished, or if none did, stopped."""
        for status in ("finished", "stopped"):
            found = {seed: run for seed, run in self.by_seed.items() if run.status == status}
            if found:
                return found
        return {}

    @property
    def density(self) -> float:
        """The density, k/J: see `density_of`."""
        return density_of(self.runs[0])

    @property
    def has_density(self) -> bool:
        """Whether the algorithm was given how much to send; dense, for one, was not."""
        return not {"density", "k"}.isdisjoint(self.cell.sparsifier)

    @property
    def drawn(self) -> list[Run]:
        """The runs that curves are of: those that means are over or, if there are none, all."""
        return list(self.counted.values()) or self.runs

    def execution(self, name: str) -> NDArray[np.float64]:
        """Return a machine-dependent value of the runs that count, (seeds,); NaN if it has none."""
        return np.array([run.execution.get(name, math.nan) for run in self.counted.values()])

    @property
    def failures(self) -> list[Run]:
        """The runs that ended with an error."""
        return [run for run in self.runs if run.status in ("diverged", "failed")]

    def mean_log10_trace(self, name: str) -> NDArray[np.float64]:
        """Return the mean over seeds of log10 of a trace, as long as the shortest run drawn."""
        traces = [run.traces[name] for run in self.drawn]
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


def kept_entries(run: Run) -> int | None:
    """Return k, how many entries a worker sends in a round; None if that is not the same for all.

    That is so for an algorithm without a density, and where there is a k for each layer.
    """
    assert isinstance(run.cell, TrainingCell)
    sparsifier = run.cell.sparsifier
    k, density = sparsifier.get("k"), sparsifier.get("density")
    if k is not None:
        return int(k)
    if density is None or sparsifier.get("scope", "global") != "global":
        return None
    return entries_kept(float(density), int(run.metrics["parameters"]))


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


def received_bytes(run: Run) -> NDArray[np.float64]:
    """Return the bytes that one worker receives in each round, (rounds,): its share of downlink."""
    return np.array(run.traces["downlink_bytes"], dtype=np.float64) / run.metrics["workers"]


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


def estimate(values: NDArray[np.float64], least_spread: float = 0.0) -> Estimate:
    """Return mean and 95 % confidence interval over seeds.

    Args:
        values: One for each seed; one that is not finite is unknown.
        least_spread: What their standard deviation is at least, as they are coarse.
    """
    known = values[np.isfinite(values)]
    seeds = len(known)
    mean = float(known.mean()) if seeds and seeds == len(values) else math.nan
    if not math.isfinite(mean) or seeds < 2:  # and SciPy, slow to import, is not needed
        return Estimate(mean=mean, half_width=None, n=seeds)
    half_width = float(half_widths(known, least_spread))
    return Estimate(
        mean=mean, half_width=half_width if math.isfinite(half_width) else None, n=seeds
    )


def half_widths(values: NDArray[np.float64], least_spread: float = 0.0) -> NDArray[np.float64]:
    """Return half the width of the mean's 95 % confidence interval over seeds, the first axis."""
    from scipy import special

    error = spread_of(values, least_spread) / math.sqrt(len(values))
    return np.asarray(special.stdtrit(len(values) - 1, 0.975) * error)


def median_interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return a 95 % confidence interval of the median, whatever the distribution.

    Its ends are two of the values. Fewer than six have none: even their whole range contains the
    median with a probability of 1 - 2^(1-n) only.
    """
    if len(values) < LEAST_FOR_INTERVAL:
        return None
    ordered = np.sort(values)
    throws = len(ordered)
    outside, ways = 0, 1  # in which at most `outside` of as many coin tosses are heads
    while 40 * ways < 2**throws:
        outside += 1
        ways += math.comb(throws, outside)
    outside -= 1
    return float(ordered[outside]), float(ordered[-1 - outside])


def first_round(reached: NDArray[np.bool_]) -> int | None:
    """Return the first round, from 1, after which a condition holds."""
    rounds = np.flatnonzero(reached)
    return int(rounds[0]) + 1 if len(rounds) else None
