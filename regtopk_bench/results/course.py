"""How a run of the timing gate goes: pairs are taken until every row has its verdict.

A row is judged at the looks of the plan. Equivalent: it passes. Slower or faster: it must be so
again in a second series, of fresh pairs from then on and judged at the same numbers of pairs; a
machine that was slow for a while is not a regression. The second series tests one hypothesis, named
before its data were seen, so it is not corrected over the rows. An equivalent row stops there.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.results.equivalence import Plan, judge
from regtopk_bench.results.ratios import Estimates

Verdict = Literal["PASS", "FAIL", "BETTER", "INCONCLUSIVE"]


class Course(NamedTuple):
    """How far gate runs have come; arrays of shape (runs, rows)."""

    first: NDArray[np.str_]
    """The finding of the first series."""

    again: NDArray[np.str_]
    """The finding of the second one."""

    start: NDArray[np.int_]
    """The pair, from 0, with which the series that was judged last began."""

    judged: NDArray[np.int_]
    """Its pairs at that look; 0 if there was none."""

    level: NDArray[np.float64]
    """The level at which that look decided: see `Judgement.level`."""

    wanted: NDArray[np.bool_]
    """Whether more pairs are wanted."""

    pairs: NDArray[np.int_]
    """The pairs taken, up to the last one that was wanted."""

    @property
    def verdict(self) -> NDArray[np.str_]:
        """The `Verdict` of each row, if the control does not fail."""
        twice = (self.first == self.again) & (self.first != "open")
        return np.select(
            [self.first == "equivalent", twice & (self.first == "slower"), twice],
            ["PASS", "FAIL", "BETTER"],
            "INCONCLUSIVE",
        )


def follow(log_ratios: NDArray[np.float64], plan: Plan, stored: Estimates | None = None) -> Course:
    """Follow gate runs through their pairs: the rule of the gate, on many runs at a time.

    Args:
        log_ratios: (runs, pairs, rows), without the control; a row may be NaN from where it is
            wanted no more.
        plan: Margin, level and looks.
        stored: The rows before, (rows,), where `log_ratios` are not of head / base but of
            head / frozen.
    """
    runs, available, rows = log_ratios.shape
    first = np.full((runs, rows), "open", dtype="U10")
    again, start = first.copy(), np.zeros((runs, rows), dtype=np.int_)
    judged, level = start.copy(), np.full((runs, rows), plan.look_level / rows)
    for look in plan.looks:
        live = np.flatnonzero((first == "open").any(axis=1))
        if look > available or not len(live):
            break
        estimates = Estimates.of(log_ratios[live, :look])
        estimates = estimates if stored is None else estimates.less(stored)
        found = judge(estimates, plan.margin, plan.look_level, first[live])
        undecided = first[live] == "open"
        level[live] = np.where(undecided, found.level, level[live])
        judged[live] = np.where(undecided, look, judged[live])
        first[live] = found.finding
    decided = np.where(first == "open", 0, judged)
    confirming = (first == "slower") | (first == "faster")
    for begin in plan.looks:
        run, row = np.nonzero(confirming & (decided == begin))
        for look in plan.looks:
            undecided = again[run, row] == "open"
            run, row = run[undecided], row[undecided]
            if begin + look > available or not len(run):
                break
            series = log_ratios[run, begin : begin + look, row]  # (suspected, pairs)
            estimates = Estimates.of(series[:, :, None])  # each is a family of one
            if stored is not None:
                estimates = estimates.less(stored.take(row[:, None]))
            found = judge(estimates, plan.margin, plan.look_level)
            again[run, row], level[run, row] = found.finding[:, 0], found.level[:, 0]
            start[run, row], judged[run, row] = begin, look
    last = decided + plan.looks[-1]  # of the series that is under way
    under_way = (first == "open") | (confirming & (again == "open"))
    ended = np.where(confirming & (again != "open"), decided + judged, decided)
    return Course(
        first,
        again,
        start,
        judged,
        level,
        under_way & (last > available),
        np.where(under_way, np.minimum(last, available), ended),
    )


def control_fails(log_ratios: NDArray[np.float64], plan: Plan) -> NDArray[np.bool_]:
    """Say of each run whether its control, (runs, pairs), shows that times cannot be trusted.

    It does if its interval lies wholly beyond half the margin, the square root of the ratio, on
    either side. The level at each end is that of the plan, for one row and one look: it is wrong
    seldom where nothing is amiss, since half the margin is far from 1, and then costs a rerun,
    whereas a drift that it misses costs a wrong verdict.
    """
    low, high = Estimates.of(log_ratios[:, :, None]).interval(plan.level)
    half = np.sqrt(plan.margin)
    return np.asarray(((low > half) | (high < 1.0 / half))[:, 0])
