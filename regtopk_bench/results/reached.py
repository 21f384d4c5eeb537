"""What a saved result says about the rounds until its target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.labels import parameters
from regtopk_bench.results.measures import ROUNDS_TO_TARGET, target_of
from regtopk_bench.results.schema import Result, TrainingCell
from regtopk_bench.results.statistics import Summary, statistics_of
from regtopk_bench.results.values import Facts

_SCOPE = "scope"
"""Where a sparsifier selects, which is no hyper-parameter of its own."""


@dataclass(frozen=True)
class Reached:
    """The configurations of a result, and how many rounds each took."""

    name: str
    """What the result is called."""

    target: str
    """In words."""

    workers: int
    """With how many workers it was trained."""

    summaries: Sequence[Summary]

    @classmethod
    def of(cls, result: Result, name: str) -> Reached:
        """Look at a result.

        Args:
            result: The result.
            name: What it is called.

        Raises:
            ConfigurationError: If it has no target, or no run.
        """
        target = target_of(result)
        shown = {"linreg": f"{target:g}", "cifar": f"{100 * target:g} %"}
        if result.command not in shown or math.isnan(target):
            raise ConfigurationError(
                f"{name} is a result of {result.command} without a target: give one of linreg or "
                "cifar"
            )
        if not result.runs:
            raise ConfigurationError(f"{name} has no run that has ended")
        workers = int(result.runs[0].metrics["workers"])
        return cls(name, shown[result.command], workers, statistics_of(result).summary)

    def find(self, cell: TrainingCell) -> Summary | None:
        """Return the configuration of a sparsifier at its density, whatever its scope."""
        given = float(cell.sparsifier.get("density") or 1.0)
        for each in self.summaries:
            alike = each.algorithm == cell.algorithm and own(each.parameters) == parameters(cell)
            if alike and math.isclose(each.density, given):
                return each
        return None


def own(of: Facts) -> Facts:
    """Return a sparsifier's parameters without where it selects."""
    return {name: value for name, value in of.items() if name != _SCOPE}


def rounds_of(summary: Summary | None) -> float | None:
    """Return the mean of the rounds until the target; None if some run did not reach it."""
    if summary is None or summary.diverged or summary.failed:
        return None
    rounds = summary.metrics[ROUNDS_TO_TARGET].mean
    return rounds if math.isfinite(rounds) else None
