"""A run of the timing gate, fed pair by pair, and what it says of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.course import Course, Verdict, control_fails, follow
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.ratios import Estimates, by_row, finite

CONTROL = "control"
"""The name of the row that is the same code on both sides."""

Reason = Literal[
    "equivalent", "slower", "faster", "not-confirmed", "too-noisy", "out-of-time", "control-failed"
]


@dataclass(frozen=True)
class Outcome:
    """What a run of the gate says of one row."""

    verdict: Verdict
    reason: Reason

    ratio: float
    """Head / base seconds, the geometric mean over the pairs of the series that decided: the
    second one, if it was judged. NaN without a pair."""

    low: float
    high: float
    """The interval of the ratio at the level of the verdict: inside the margin for PASS, beyond it
    for FAIL and BETTER. From 0 to infinity for a single pair."""

    detectable: float
    """The slowdown, a ratio, that a series with this noise and as many pairs would call slower
    with probability 0.95; infinite if one pair was taken. See `Estimates.detectable`."""

    pairs: int
    """The pairs measured for this row, of both series."""


class Procedure:
    """A run of the gate, fed pair by pair.

    Args:
        rows: The names of the rows, without the control.
        plan: Margin, level and looks.
        stored: For each row the samples of log(head / frozen) stored before, (samples,), if there
            is no base to run and log(head / frozen) is added. Rows are then compared by Welch's
            t-test; the second series is compared with the same stored samples.

    Raises:
        ConfigurationError: A name is missing, twice or that of the control, or a stored sample is
            missing or not finite.
    """

    def __init__(
        self, rows: Sequence[str], plan: Plan, stored: Mapping[str, ArrayLike] | None = None
    ) -> None:
        if not rows or len({*rows, CONTROL}) != len(rows) + 1:
            raise ConfigurationError(
                f'rows: expected different names other than "{CONTROL}", got {", ".join(rows)}'
            )
        self.rows = tuple(rows)
        self.plan = plan
        self._stored = None if stored is None else self._row_by_row(stored)
        self._log_ratios = np.empty((0, len(rows)))
        self._control: list[float] = []
        self._course = self._follow()

    def _row_by_row(self, stored: Mapping[str, ArrayLike]) -> Estimates:
        missing = [row for row in self.rows if row not in stored]
        if missing:
            raise ConfigurationError(f"stored samples: none of {', '.join(missing)}")
        return by_row([stored[row] for row in self.rows])

    def _follow(self) -> Course:
        return follow(self._log_ratios[None], self.plan, self._stored)

    @property
    def done(self) -> bool:
        """Whether every row has its verdict, so that no more pairs are wanted."""
        return not self._course.wanted.any()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The rows still undecided, which the next pair must have; it may have others."""
        return tuple(
            row for row, more in zip(self.rows, self._course.wanted[0], strict=True) if more
        )

    def add(self, pair: Mapping[str, float]) -> None:
        """Add the log ratios of a pair: of every row that is wanted, and of the control.

        Raises:
            ConfigurationError: One of them is missing, NaN or infinite.
        """
        needed = (*self.wanted, CONTROL)
        missing = [row for row in needed if row not in pair]
        if missing:
            raise ConfigurationError(f"a pair lacks the log ratio of {', '.join(missing)}")
        finite([pair[row] for row in needed], dimensions=1)
        added = [pair[row] if row in needed else np.nan for row in self.rows]
        self._log_ratios = np.vstack([self._log_ratios, added])
        self._control.append(pair[CONTROL])
        self._course = self._follow()

    def outcomes(self) -> dict[str, Outcome]:
        """Return what can be said of each row by now; rows still wanted are inconclusive."""
        control = np.array([self._control])
        failed = bool(self._control) and bool(control_fails(control, self.plan)[0])
        return {row: self._outcome(index, failed) for index, row in enumerate(self.rows)}

    def _outcome(self, row: int, control_failed: bool) -> Outcome:
        course = Course(*(values[0, row] for values in self._course))
        verdict = cast(Verdict, str(course.verdict))
        reason = cast(Reason, str(course.first))
        if verdict == "INCONCLUSIVE":
            if course.wanted:
                reason = "out-of-time"
            else:
                reason = "too-noisy" if course.first == "open" else "not-confirmed"
        if control_failed:
            verdict, reason = "INCONCLUSIVE", "control-failed"
        pairs = int(course.pairs)
        if not pairs:
            return Outcome(verdict, reason, np.nan, 0.0, np.inf, np.inf, 0)
        begin = int(course.start)
        series = self._log_ratios[begin : begin + (int(course.judged) or pairs), [row]]
        estimates = Estimates.of(series)
        if self._stored is not None:
            estimates = estimates.less(self._stored.take([row]))
        low, high = estimates.interval(course.level)
        strictest = self.plan.look_level / (1 if begin else len(self.rows))
        detectable = estimates.detectable(self.plan.margin, strictest)
        return Outcome(
            verdict,
            reason,
            float(estimates.ratio[0]),
            float(low[0]),
            float(high[0]),
            float(detectable[0]),
            pairs,
        )
