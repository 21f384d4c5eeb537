"""The cells of a suite as things to do: run one, see how firm its numbers are, time it."""

from __future__ import annotations

import functools
import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.errors import RunError
from regtopk_bench.experiments.cell import Cell
from regtopk_bench.experiments.environment import environment
from regtopk_bench.experiments.kernel_cells import KernelProblem
from regtopk_bench.experiments.measurements import runs_of
from regtopk_bench.experiments.outcome import OnRound, Workshop, run_cell
from regtopk_bench.experiments.probe import Selections, lost
from regtopk_bench.results import KernelCell, Run, Scalar, TrainingCell
from regtopk_bench.results.baseline import CONSERVATION, gated
from regtopk_bench.results.summary import first_round
from regtopk_bench.timing import Candidate, Step, Timed, candidate, measure
from regtopk_bench.training import RoundInfo

_NUDGES = 2
_NUDGE_ROUNDINGS = 64.0
"""How far initial parameters are nudged, in units of rounding: about what a run adds up to."""

_REPEATS = 3
"""How often a kernel is timed when it is run as a cell; pairs of processes time it otherwise."""


class Task(ABC):
    """A cell that can be run, nudged and timed."""

    record: TrainingCell | KernelCell
    device: str

    @abstractmethod
    def run(self) -> Run:
        """Run the cell.

        Raises:
            RegtopkBenchError: If it could not be run to its end, but for having diverged.
        """

    def nudged(self, run: Run) -> dict[str, float]:
        """Return how much each metric changes where only rounding differs, at most, if at all."""
        return {}

    @abstractmethod
    def seconds(self) -> float:
        """Return the seconds of a round or a step, once."""

    def estimate(self) -> float:
        """Return about how many seconds the cell takes."""
        return 1.0


@dataclass(frozen=True)
class Target:
    """What a metric is to reach."""

    metric: str
    value: float
    above: bool = False

    def rounds(self, run: Run) -> dict[str, int]:
        """Return after how many rounds a run reaches it; nothing if it does not."""
        trace = np.array(run.traces.get(self.metric, ()))
        reached = first_round(trace >= self.value if self.above else trace <= self.value)
        return {} if reached is None else {"rounds_to_target": reached}


class Training(Task):
    """A training run."""

    def __init__(self, cell: Cell, workshop: Workshop, target: Target | None) -> None:
        """Prepare to run a cell.

        Args:
            cell: What to run.
            workshop: Makes its problem.
            target: What its metric is to reach, if anything.
        """
        self._cell, self._workshop, self._target = cell, workshop, target
        self.record = cell.record
        self.device = str(self.record.problem.get("device", "cpu"))

    def run(self) -> Run:
        """See `Task.run`."""
        selections = Selections()
        run = self._run(selections)
        derived: dict[str, int | float] = dict(self._target.rounds(run)) if self._target else {}
        difference = lost(self._cell.sparsifier)
        if difference is not None:
            derived[CONSERVATION] = difference
        metrics = run.metrics | derived
        return run.model_copy(update={"metrics": metrics, "digests": selections.digests()})

    def nudged(self, run: Run) -> dict[str, float]:
        """See `Task.nudged`; looked at twice, with nudges at the start and after each round.

        Training that forgets where it started still rounds in its last rounds.
        """
        workload = self._workshop.instance(self._cell).workload
        initial_J = workload.initial_parameters(self._cell.seed)
        changes: dict[str, float] = {}
        for number in range(_NUDGES):
            nudge = _Nudge(number, initial_J)
            other = self._run(nudge, nudge.of(initial_J, _NUDGE_ROUNDINGS))
            metrics = other.metrics | (self._target.rounds(other) if self._target else {})
            for name, value in gated(run.metrics).items():
                change = abs(metrics.get(name, math.nan) - value)
                if math.isfinite(change):
                    changes[name] = max(change, changes.get(name, 0.0))
        return changes

    def seconds(self) -> float:
        """See `Task.seconds`; of a round, evaluation excluded."""
        run = self._run(None)
        phases = (value for name, value in run.execution.items() if name.endswith("_seconds"))
        return sum(phases) / max(1, int(run.metrics["rounds"]))

    def estimate(self) -> float:
        """See `Task.estimate`."""
        problem, rounds = self.record.problem, self._cell.recipe.rounds
        batch, workers = problem.get("batch"), problem.get("workers", 2)
        if isinstance(batch, int) and isinstance(workers, int):
            return 0.5 + rounds * workers * batch * self._cell.recipe.local_steps / 2000.0
        return 0.05 + rounds / 10_000.0

    def _run(self, on_round: OnRound | None, initial_J: Tensor | None = None) -> Run:
        outcome = run_cell(
            self._cell,
            self._workshop.instance(self._cell),
            processes=1,
            saving=None,
            on_round=on_round,
            environments=[_environment()],
            initial=initial_J,
        )
        if outcome.error:
            raise outcome.error
        if outcome.run is None:
            raise RunError("the cell ended before its first round")
        return outcome.run


class Kernel(Task):
    """A kernel on some data."""

    def __init__(self, problem: KernelProblem, timed: Timed) -> None:
        """Prepare to time a kernel; the data are made when they are needed."""
        self._problem, self.timed = problem, timed
        self.record = problem.cell(timed)
        self.device = problem.device
        self._repeat = 0

    @functools.cached_property
    def _candidate(self) -> Candidate:
        made = candidate(self._problem.data(), self.timed)
        for repeat in range(_REPEATS):  # compiles, and remembers a threshold
            made.prepare(repeat)
            made.run()
        return made

    def run(self) -> Run:
        """See `Task.run`."""
        made = candidate(self._problem.data(), self.timed)
        measured = measure(made.data, [made], self._problem.clock(), repeats=_REPEATS)
        (run,) = runs_of(self._problem.facts, measured, environments=[_environment()])
        assert isinstance(made, Step)
        made.prepare(0)
        accumulated_J = made.residual[0] + made.grad[0]
        selected_k = made.run()
        assert selected_k is not None
        content = selected_k.sort().values.cpu().numpy().tobytes()
        lost = _lost(accumulated_J, selected_k, made)
        return run.model_copy(
            update={
                "metrics": run.metrics | {CONSERVATION: lost},
                "digests": {"selections": hashlib.sha256(content).hexdigest()[:16]},
            }
        )

    def seconds(self) -> float:
        """See `Task.seconds`; of a step."""
        self._repeat += 1
        self._candidate.prepare(self._repeat)
        return self._problem.clock().seconds(self._candidate.run)


def _lost(accumulated_J: Tensor, selected_k: Tensor, step: Step) -> float:
    """Return by how much an entry differs that a step sent, or kept, from what it should be."""
    assert step.sent_k is not None
    sent_k, kept_J = accumulated_J[selected_k], accumulated_J.clone()
    kept_J[selected_k] = 0.0
    wrong = [(step.sent_k - sent_k).abs().max(), (step.residual[0] - kept_J).abs().max()]
    return float(torch.stack(wrong).max())  # NaN if either is


def slowed(seconds: Callable[[], float], factor: float) -> float:
    """Return the seconds of a task that really takes so many times as long."""
    started = time.perf_counter()
    taken = seconds()
    until = time.perf_counter() + (factor - 1.0) * (time.perf_counter() - started)
    while time.perf_counter() < until:
        pass
    return factor * taken


@functools.cache
def _environment() -> dict[str, Scalar]:
    return environment()


class _Nudge:
    """Makes parameters a few roundings larger or smaller, each at random."""

    def __init__(self, number: int, like_J: Tensor) -> None:
        self._generator = torch.Generator().manual_seed(number)
        self._rounding = torch.finfo(like_J.dtype).eps

    def __call__(self, info: RoundInfo) -> None:
        info.parameters.copy_(self.of(info.parameters, 1.0))

    def of(self, parameters_J: Tensor, roundings: float) -> Tensor:
        signs_J = torch.randint(2, parameters_J.shape, generator=self._generator) * 2 - 1
        return parameters_J * (1.0 + roundings * self._rounding * signs_J.to(parameters_J))
