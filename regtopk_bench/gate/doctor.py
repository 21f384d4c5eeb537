"""How well the timing gate sees on this machine: pairs of the same code, and of slower code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from regtopk_bench import machine
from regtopk_bench.gate import pairs
from regtopk_bench.gate.pairs import CONTROL
from regtopk_bench.gate.suite import Suite
from regtopk_bench.results.course import control_fails
from regtopk_bench.results.diagnosis import DiagnosedCell, Diagnosis
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.rates import found_in, rates

_TOO_BLIND = 2.0
"""A gate that misses more than one in twenty slowdowns of this ratio is of no use."""


@dataclass
class Doctor:
    """Measures pairs, and concludes from them."""

    suite: Suite
    keys: Sequence[str]
    """The cells to time."""
    plan: Plan
    slowdown: float
    """Factor by which cells are slowed down, above 1."""
    timeout: float
    """Seconds that a cell may take."""

    def examine(self, count: int, on_pair: Callable[[int], None]) -> Diagnosis:
        """Measure pairs, and say what gate runs with such pairs would find.

        Args:
            count: How many, at least 2.
            on_pair: Called with how many there are after each.

        Raises:
            RunError: If a process died or hangs, or a cell failed.
        """
        facts, began = machine.facts(), time.monotonic()
        stolen, all_of_it = machine.stolen()
        same, slow = self._measure(count, on_pair)
        seconds = time.monotonic() - began
        stolen, all_of_it = (
            now - before for now, before in zip(machine.stolen(), (stolen, all_of_it), strict=True)
        )
        nothing = rates(same, self.plan)
        cells = list(self._cells(same, slow))
        found = Diagnosis(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            profile=self.suite.profile,
            margin=self.plan.margin,
            slowdown=self.slowdown,
            pairs=count,
            machine=facts,
            environment=dict(self.suite.environment),
            false_alarms=nothing.failed,
            passed=nothing.passed,
            pairs_taken=nothing.pairs,
            seconds_per_pair=seconds / count,
            stolen=stolen / max(1, all_of_it),
            cells=cells,
            unfit=None,
        )
        return found.model_copy(update={"unfit": self._unfit(found, same[:, -1])})

    def _measure(
        self, count: int, on_pair: Callable[[int], None]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return log ratios of the same code, and of slower code, each (pairs, cells + 1)."""
        twin = replace(self.suite, tree=replace(self.suite.tree, name="base"))
        same: list[list[float]] = []
        slow: list[list[float]] = []
        for number in range(count):
            taken = pairs.times(
                self.suite,
                twin,
                {1.0: self.keys, self.slowdown: self.keys},
                timeout=self.timeout,
                swapped=bool(number % 2),
            )
            for factor, rows in ((1.0, same), (self.slowdown, slow)):
                ratios = taken.log_ratios(factor)
                rows.append([ratios[key] for key in (*self.keys, CONTROL)])
            on_pair(number + 1)
        return np.array(same), np.array(slow)

    def _cells(
        self, same: NDArray[np.float64], slow: NDArray[np.float64]
    ) -> Iterator[DiagnosedCell]:
        for row, key in enumerate(self.keys):
            slower = same.copy()
            slower[:, row] = slow[:, row]  # this cell alone is slower
            in_95 = found_in(same, self.plan, row=row)
            yield DiagnosedCell(
                key=key,
                name=self.suite.names[key],
                noise=float(same[:, row].std(ddof=1)),
                found=rates(slower, self.plan).failed,
                found_in_95=in_95 if np.isfinite(in_95) else None,
            )

    def _unfit(self, found: Diagnosis, control: NDArray[np.float64]) -> str | None:
        if control_fails(control[None], self.plan)[0]:
            return "the reference kernel, the same on both sides, takes longer on one of them"
        if found.false_alarms.value > self.plan.level:
            return f"it would raise a false alarm in {found.false_alarms} of its runs"
        blind = [cell for cell in found.cells if (cell.found_in_95 or np.inf) > _TOO_BLIND]
        if blind:
            return (
                f"it would miss a slowdown of {_TOO_BLIND:g} of {blind[0].name} in more than one "
                "of twenty runs"
            )
        return None
