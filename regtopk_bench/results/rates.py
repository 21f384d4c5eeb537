"""How often the timing gate is right on a machine: simulated from pairs measured on it.

The pairs are of the same code on both sides (A/A). Whole pairs are drawn from them with replacement
and taken through the gate's rule, so that noise keeps its size and shape, and rows of one pair what
they have in common. What follows one upon another within a run, such as a slow hour, is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.course import control_fails, follow
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.ratios import finite
from regtopk_bench.results.values import Model

_LARGEST = 10.0
_PRECISION = 0.002


Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Share(Model):
    """The share of gate runs that end in a way, with its 95 % interval."""

    value: Probability
    low: Probability
    high: Probability

    def __str__(self) -> str:
        """Return the share in percent with its interval."""
        value, low, high = (f"{100.0 * each:.3g}" for each in (self.value, self.low, self.high))
        return f"{value} % ({low} to {high})"


@dataclass(frozen=True)
class Rates:
    """How gate runs end; the three shares add up to 1."""

    failed: Share
    """A row, whichever, is FAIL."""

    passed: Share
    """Every row is PASS."""

    inconclusive: Share
    """Neither: a row is INCONCLUSIVE, or BETTER, and none is FAIL."""

    pairs: float
    """The mean number of pairs that a run takes if its time is not limited."""


def rates(
    pairs: ArrayLike,
    plan: Plan,
    slowdown: float = 1.0,
    *,
    row: int | None = None,
    runs: int = 4000,
    pools: int = 80,
    seed: int = 0,
) -> Rates:
    """Estimate how gate runs would end if head were slower.

    The interval is a bootstrap of the pool: for each of `pools` pools, of as many pairs drawn from
    `pairs`, a quarter as many runs are made. Its share is then drawn from the posterior of what
    they gave (Beta, Jeffreys' prior), so that it is above 0 even where no run ended so. What
    the measured pairs do not hold at all, no interval can know.

    Args:
        pairs: Log ratios of the same code on both sides, (pairs, rows + 1); the last column is the
            control. At least two pairs.
        plan: Margin, level and looks.
        slowdown: The ratio by which head is slower; 1 for the share of false alarms.
        row: The row that is slower, from 0; None for all.
        runs: Simulated runs behind each value.
        pools: Bootstrapped pools behind each interval.
        seed: Of the random numbers; the same seed gives the same rates.

    Raises:
        ConfigurationError: An entry is NaN or infinite, there are too few pairs or columns, or
            the slowdown or the row is impossible.
    """
    pool = _pool(pairs)
    rng = np.random.default_rng(seed)
    slow = _slow(pool, slowdown, row)
    ends, taken = _ends(pool, plan, slow, runs, rng)
    drawn = np.empty((pools, len(ends)))
    for index in range(pools):
        resampled = pool[rng.integers(len(pool), size=len(pool))]
        few = max(1, runs // 4)
        counts = few * _ends(resampled, plan, slow, few, rng)[0]
        drawn[index] = rng.beta(counts + 0.5, few - counts + 0.5)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    shares = [
        Share(value=float(value), low=float(min(value, below)), high=float(max(value, above)))
        for value, below, above in zip(ends, low, high, strict=True)
    ]
    failed, passed, inconclusive = shares
    return Rates(failed, passed, inconclusive, taken)


def found_in(
    pairs: ArrayLike,
    plan: Plan,
    share: float = 0.95,
    *,
    row: int | None = None,
    runs: int = 2000,
    seed: int = 0,
) -> float:
    """Return the smallest slowdown, a ratio, with which so large a share of gate runs is FAIL.

    It is found by bisection, to 0.2 %, with the same pairs drawn for every slowdown. Infinite if
    head ten times slower would not be found. For the arguments and errors, see `rates`.
    """
    if not 0.0 < share < 1.0:
        raise ConfigurationError(f"share: expected a number from 0 to 1, got {share}")
    pool = _pool(pairs)

    def failed(log_slowdown: float) -> bool:
        slow = _slow(pool, math.exp(log_slowdown), row)
        ends, _ = _ends(pool, plan, slow, runs, np.random.default_rng(seed))
        return bool(ends[0] >= share)

    low, high = 0.0, math.log(_LARGEST)
    if not failed(high):
        return math.inf
    while high - low > _PRECISION:
        middle = (low + high) / 2.0
        low, high = (low, middle) if failed(middle) else (middle, high)
    return math.exp(high)


def _pool(pairs: ArrayLike) -> NDArray[np.float64]:
    pool = finite(pairs, dimensions=2)
    if min(pool.shape) < 2:
        raise ConfigurationError(
            f"pairs: expected at least two, of a row and the control; got the shape {pool.shape}"
        )
    return pool


def _slow(pool: NDArray[np.float64], slowdown: float, row: int | None) -> NDArray[np.float64]:
    """Return what a slowdown adds to the log ratios of the rows."""
    rows = pool.shape[1] - 1
    if not 0.0 < slowdown < math.inf:
        raise ConfigurationError(f"slowdown: expected a ratio above 0, got {slowdown}")
    if row is not None and not 0 <= row < rows:
        raise ConfigurationError(f"row: expected one from 0 to {rows - 1}, got {row}")
    slow = np.zeros(rows)
    slow[slice(None) if row is None else row] = math.log(slowdown)
    return slow


def _ends(
    pool: NDArray[np.float64],
    plan: Plan,
    slow: NDArray[np.float64],
    runs: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], float]:
    """Return the shares of `Rates`, in their order, and the mean number of pairs."""
    draws = pool[rng.integers(len(pool), size=(runs, 2 * plan.looks[-1]))]
    course = follow(draws[:, :, :-1] + slow, plan)
    taken = course.pairs.max(axis=1)
    trusted = np.empty(runs, dtype=np.bool_)
    for pairs in np.unique(taken):
        ended = taken == pairs
        trusted[ended] = ~control_fails(draws[ended, :pairs, -1], plan)
    failed = trusted & (course.verdict == "FAIL").any(axis=1)
    passed = trusted & (course.verdict == "PASS").all(axis=1)
    shares = [failed.mean(), passed.mean(), (~failed & ~passed).mean()]
    return np.array(shares), float(taken.mean())
