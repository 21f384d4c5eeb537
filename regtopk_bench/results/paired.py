"""Differences between two configurations on the same seeds: tests, and how many seeds they need."""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

LEVEL: Final = 0.05
"""The largest p, corrected for the number of tests, at which a difference counts as found."""

POWER: Final = 0.8
"""The share of experiments that should find a difference, for the seeds that they need."""

MOST_SEEDS: Final = 10_000
"""Nobody runs more."""

_MANY = 200
_ROUNDING = 1e-9
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


def spread_of(values: NDArray[np.float64], least: float = 0.0) -> NDArray[np.float64]:
    """Return the standard deviation of at least two values; 0 where they differ by rounding only.

    Args:
        values: The values, along the first axis.
        least: What it is at least, because values are coarse.
    """
    found = values.std(axis=0, ddof=1)
    only_rounding = found <= _ROUNDING * np.abs(values.mean(axis=0))
    return np.maximum(least, np.where(only_rounding, 0.0, found))


def paired_t(differences: NDArray[np.float64], least_spread: float = 0.0) -> float:
    """Return p of the paired t-test, two-sided; 1 where nothing differs.

    Where all differences are the same number, that says nothing of their spread: they are tested by
    their signs alone.

    Args:
        differences: At least two of them.
        least_spread: What their standard deviation is at least, as the values are coarse.
    """
    if not differences.any():
        return 1.0
    seeds, spread = len(differences), spread_of(differences, least_spread)
    if spread == 0.0:
        return float(2.0 ** (1 - seeds))
    from scipy import special

    t = abs(differences.mean()) * math.sqrt(seeds) / spread
    return float(2.0 * special.stdtr(seeds - 1, -t))


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


def seeds_needed(
    differences: NDArray[np.float64], level: float, least_spread: float = 0.0
) -> int | None:
    """Return with how many seeds a paired t-test would find a difference like this one.

    Differences are taken to be normal, with the mean and the standard deviation found: a guess as
    good as these are known. Then the test's t has the noncentral distribution of Student.

    Args:
        differences: At least two of them.
        level: The two-sided level of the test.
        least_spread: As in `paired_t`.

    Returns:
        The number that finds it in 80 % of experiments; None if 10,000 do not.
    """
    spread = spread_of(differences, least_spread)
    if not spread and differences.any():
        return math.ceil(1.0 - math.log2(level))
    effect = abs(float(differences.mean())) / spread if spread else 0.0
    if not 0.0 < effect < math.inf:
        return None
    from scipy import special

    def finds(seeds: int) -> bool:
        critical = special.stdtrit(seeds - 1, 1.0 - level / 2.0)
        missed = special.nctdtr(seeds - 1, effect * math.sqrt(seeds), critical)
        return bool(1.0 - missed >= POWER)

    enough = 2
    while not finds(enough):
        if enough == MOST_SEEDS:
            return None
        enough = min(2 * enough, MOST_SEEDS)
    too_few = max(1, enough // 2)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if finds(middle) else (middle, enough)
    return enough
