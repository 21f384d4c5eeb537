"""Is code as fast as it was? Slower, faster or equivalent, and how sure to be of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.holm import significant
from regtopk_bench.results.ratios import Estimates

Finding = Literal["equivalent", "slower", "faster", "open"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What counts as a regression, how sure to be, and when to look at the data.

    Looking several times, and stopping at the first clear answer, gives chance several tries. So
    the level is divided equally among the looks (Bonferroni; `look_level`): by the union bound the
    looks together err no more than `level`, whatever the noise has in common between them. The
    boundaries of Pocock (Biometrika 64, 1977) and O'Brien and Fleming (Biometrics 35, 1979) give
    away less, but are derived for normal means of known variance, whereas a look here has few
    pairs and Student's t; nor can Holm's correction over rows use them as they are.
    """

    margin: float = 1.1
    """The ratio, above 1, that matters: slower by more is a regression, and between 1 / margin and
    margin code is as fast as it was. Near 1, noise needs many pairs; a large one hides slowdowns.
    """

    level: float = 0.05
    """The probability of any wrong answer of a kind (slower, faster, equivalent) over all rows and
    looks, below 0.5. A small one needs more pairs."""

    looks: tuple[int, ...] = (4, 6, 10, 16, 24)
    """The numbers of pairs, increasing, at which the data are judged; at least 2, since a single
    pair says nothing of noise. Each one more lowers the level of all. An early first look ends a
    quiet run soon; a late last one gives a noisy row its chance, if there is time."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 1.0 < self.margin < math.inf:
            raise ConfigurationError(f"margin: expected a ratio above 1, got {self.margin}")
        if not 0.0 < self.level < 0.5:
            raise ConfigurationError(f"level: expected a number from 0 to 0.5, got {self.level}")
        increasing = all(first < second for first, second in pairwise(self.looks))
        if not self.looks or min(self.looks) < 2 or not increasing:
            raise ConfigurationError(
                f"looks: expected increasing numbers of pairs from 2, got {self.looks}"
            )

    @property
    def look_level(self) -> float:
        """The level of one look, over all rows."""
        return self.level / len(self.looks)


@dataclass(frozen=True)
class Judgement:
    """What one look at the rows found; arrays of shape (..., rows)."""

    finding: NDArray[np.str_]
    """A `Finding` for each row."""

    level: NDArray[np.float64]
    """The level at which the row was decided, after Holm's correction. `Estimates.interval` at
    this level lies inside the margin if equivalent, beyond it if slower or faster, and across a
    bound if open."""

    p_slower: NDArray[np.float64]
    p_faster: NDArray[np.float64]
    p_equivalent: NDArray[np.float64]


def judge(
    estimates: Estimates, margin: float, level: float, earlier: NDArray[np.str_] | None = None
) -> Judgement:
    """Say of each row whether it is slower, faster, equivalent, or open.

    Slower than the margin and faster than its inverse are one-sided t-tests; equivalence is two of
    them (TOST; Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987), whose p is the larger. Each of
    the three kinds is corrected over the rows by Holm (Scand. J. Statist. 6, 1979).

    Args:
        estimates: Of the ratio of each row.
        margin: The ratio that matters, above 1.
        level: The level of this look, over all rows.
        earlier: The findings of the looks before. Only open rows are judged. Those found to be of
            a kind no longer count among its rows; others do, although they are not judged.
    """
    bound = math.log(margin)
    if earlier is None:
        earlier = np.full(estimates.mean.shape, "open")
    p_of: dict[Finding, NDArray[np.float64]] = {
        "slower": estimates.p_above(bound),
        "faster": estimates.p_below(-bound),
    }
    p_of["equivalent"] = np.maximum(estimates.p_above(-bound), estimates.p_below(bound))
    finding = earlier.astype("U10")
    levels = np.full(estimates.mean.shape, level)
    for kind, p in p_of.items():
        judged = np.where(earlier == "open", p, math.inf)
        found, at = significant(judged, level, (earlier != kind).sum(axis=-1, keepdims=True))
        # An open row is shown at the strictest of its three levels, an interval across a bound.
        levels = np.where(finding == "open", np.where(found, at, np.minimum(levels, at)), levels)
        finding[found] = kind
    return Judgement(finding, levels, p_of["slower"], p_of["faster"], p_of["equivalent"])
