"""The numbers of a run that are averaged over seeds, and which of them decide who is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.network import Network
from regtopk_bench.results.projection import seconds_by_round
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.summary import first_round, log10, received_bytes, sent_bytes

Better = Literal["lower", "higher"]

LOG10_GAP: Final = "log10_gap"
FINAL_ACCURACY: Final = "final_accuracy"
BEST_ACCURACY: Final = "best_accuracy"
ROUNDS_TO_TARGET: Final = "rounds_to_target"
SENT_PER_ROUND: Final = "sent_bytes_per_worker_round"
RECEIVED_PER_ROUND: Final = "received_bytes_per_worker_round"
SENT_TO_TARGET: Final = "sent_bytes_per_worker_to_target"
LOG10_SENT_TO_TARGET: Final = "log10_sent_bytes_per_worker_to_target"
PROJECTED_PER_ROUND: Final = "projected_seconds_per_round"
PROJECTED_TO_TARGET: Final = "projected_seconds_to_target"

OnRun = Callable[[Run], float]


@dataclass(frozen=True)
class Measure:
    """A number of a run; not a number where the run has none."""

    name: str

    value: OnRun

    better: Better | None = None
    """Which of two values is better; None for one that is not compared."""

    across_densities: bool = False
    """Whether configurations of different densities are compared: they trade accuracy for bytes,
    and a cost until the target has been reached is of the same accuracy."""

    coarseness: OnRun | None = None
    """The standard deviation that a value has if only its last digits vary, where it is coarse."""

    def least_spread(self, runs: Collection[Run]) -> float:
        """Return what the standard deviation of its values in these runs is at least."""
        if self.coarseness is None or not runs:
            return 0.0
        return float(np.mean([self.coarseness(run) for run in runs]))


def measures_of(result: Result) -> tuple[Measure, ...]:
    """Return what is measured of the runs of a result; nothing for other commands."""
    target, network = target_of(result), network_of(result)
    match result.command:
        case "linreg":
            reached = partial(_first_gap, target)
            return (
                Measure(LOG10_GAP, log10_gap, "lower"),
                *_costs(reached),
                *_projected(reached, network),
            )
        case "cifar":
            reached = partial(_first_accuracy, target)
            return (
                Measure(FINAL_ACCURACY, final_accuracy, "higher"),
                Measure(BEST_ACCURACY, best_accuracy, "higher"),
                *_costs(reached),
                *_projected(reached, network),
            )
    return ()


def target_of(result: Result) -> float:
    """Return the metric value that runs should reach; NaN if none was set."""
    setting = result.settings.get("target")
    return math.nan if setting is None or setting.value is None else float(setting.value)


def network_of(result: Result) -> Network | None:
    """Return the network that times are projected for, if there is one."""
    setting = result.settings.get("network")
    return None if setting is None or setting.value is None else Network.parse(setting.value)


def log10_gap(run: Run) -> float:
    """Return log10 of the gap after the last round; a gap of 0 is taken for the smallest float."""
    return float(log10(np.array(run.metrics.get("gap", math.nan))))


def accuracy(run: Run) -> NDArray[np.float64]:
    """Return the accuracy after each round; NaN where it was not evaluated."""
    return np.array(run.traces["accuracy"], dtype=np.float64)


def best_accuracy(run: Run) -> float:
    """Return the largest accuracy of all evaluations."""
    evaluated = accuracy(run)
    evaluated = evaluated[np.isfinite(evaluated)]
    return float(evaluated.max()) if len(evaluated) else math.nan


def final_accuracy(run: Run) -> float:
    """Return the accuracy after the last round."""
    return float(run.metrics.get("accuracy", math.nan))


def _first_gap(target: float, run: Run) -> tuple[int | None, int]:
    """Return the first round to reach the target, and the last that was looked at before."""
    reached = first_round(np.array(run.traces["gap"], dtype=np.float64) <= target)
    return reached, (reached or 1) - 1


def _first_accuracy(target: float, run: Run) -> tuple[int | None, int]:
    evaluated = accuracy(run)
    reached = first_round(evaluated >= target)
    before = np.flatnonzero(np.isfinite(evaluated[: (reached or 1) - 1]))
    return reached, int(before[-1]) + 1 if len(before) else 0


Reached = Callable[[Run], tuple[int | None, int]]
"""The first round to reach the target, if any, and the last that was looked at before."""


def _costs(reached: Reached) -> tuple[Measure, ...]:
    """Return what a round costs, and what it costs to reach the target.

    A round is counted once it has been evaluated, so that what it takes to reach the target may be
    too large by up to a step: equally likely anywhere in it, it has a standard deviation of
    step / √12.
    """

    def rounds(run: Run) -> float:
        return float(reached(run)[0] or math.nan)

    def step_in_rounds(run: Run) -> float:
        count, before = reached(run)
        return (count - before) / math.sqrt(12.0) if count else math.nan

    def sent(run: Run) -> float:
        count = reached(run)[0]
        return float(sent_bytes(run)[:count].sum()) if count else math.nan

    def step_in_bytes(run: Run) -> float:
        count, before = reached(run)
        return float(sent_bytes(run)[before:count].sum()) / math.sqrt(12.0) if count else math.nan

    def log10_sent(run: Run) -> float:
        return float(log10(np.array(sent(run))))

    def step_in_log10(run: Run) -> float:
        count, before = reached(run)
        return math.log10(count / max(before, 1)) / math.sqrt(12.0) if count else math.nan

    return (
        Measure(ROUNDS_TO_TARGET, rounds, coarseness=step_in_rounds),
        Measure(SENT_PER_ROUND, partial(_mean, sent_bytes)),
        Measure(RECEIVED_PER_ROUND, partial(_mean, received_bytes)),
        Measure(SENT_TO_TARGET, sent, coarseness=step_in_bytes),
        Measure(LOG10_SENT_TO_TARGET, log10_sent, "lower", True, step_in_log10),
    )


def _projected(reached: Reached, network: Network | None) -> tuple[Measure, ...]:
    """Return what a round takes on a network, and what it takes to reach the target."""
    if network is None:
        return ()

    def to_target(run: Run) -> float:
        count, _ = reached(run)
        return float(seconds_by_round(run, network)[:count].sum()) if count else math.nan

    return (
        Measure(PROJECTED_PER_ROUND, partial(_mean, lambda run: seconds_by_round(run, network))),
        Measure(PROJECTED_TO_TARGET, to_target),
    )


def _mean(of: Callable[[Run], NDArray[np.float64]], run: Run) -> float:
    values = of(run)
    return float(values.mean()) if len(values) else 0.0
