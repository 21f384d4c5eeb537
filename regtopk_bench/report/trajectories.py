"""How a metric went, round by round: its mean over seeds and the interval of that mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.results.schema import Run
from regtopk_bench.results.summary import Group, half_widths, sent_bytes

Metric = Callable[[Run], NDArray[np.float64]]
"""Returns a value for every round of a run, NaN where there is none."""


@dataclass(frozen=True)
class Trajectory:
    """The values of S seeds in R rounds, those in which the metric is known."""

    rounds_R: NDArray[np.int64]
    """Counted from 1."""

    sent_R: NDArray[np.float64]
    """Bytes that one worker has sent by then, mean over seeds."""

    values_SR: NDArray[np.float64]

    @property
    def mean_R(self) -> NDArray[np.float64]:
        """The mean over seeds."""
        return np.asarray(self.values_SR.mean(axis=0))

    @property
    def interval_R2(self) -> NDArray[np.float64] | None:
        """The ends of the mean's 95 % confidence interval, as in tables; None for one seed."""
        if len(self.values_SR) < 2:
            return None
        mean_R, half_R = self.mean_R, half_widths(self.values_SR)
        return np.stack([mean_R - half_R, mean_R + half_R], axis=1)


def trajectory(group: Group, metric: Metric) -> Trajectory:
    """Return how a metric of a group went, up to the last round that all runs drawn had."""
    values = [metric(run) for run in group.drawn]
    length = min(map(len, values))
    values_SR = np.array([each[:length] for each in values], dtype=np.float64)
    sent_R = np.mean([sent_bytes(run)[:length].cumsum() for run in group.drawn], axis=0)
    known = np.isfinite(values_SR).any(axis=0)
    return Trajectory(np.flatnonzero(known) + 1, sent_R[known], values_SR[:, known])
