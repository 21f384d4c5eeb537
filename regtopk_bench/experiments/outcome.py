"""One cell, run in this process."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from regtopk_bench.errors import InterruptedRun, NonFiniteGradientError, RunError
from regtopk_bench.experiments.cell import Cell
from regtopk_bench.experiments.problems import Instance
from regtopk_bench.results import Run, Scalar
from regtopk_bench.results.records import Status, run_of
from regtopk_bench.trace import Trace
from regtopk_bench.training import RESTARTS, Checkpoints, RoundInfo, simulate
from regtopk_bench.transport import TIMEOUT_SECONDS, Ranks

OnRound = Callable[[RoundInfo], bool | None]

Environments = list[dict[str, Scalar]]
"""Where a cell was computed, in order."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a cell."""

    run: Run | None
    """Its run; None if it ended before its first round."""

    error: BaseException | None = None
    """The error that ends the experiment, if any."""


@dataclass(frozen=True)
class Saving:
    """Where the cells of an experiment keep their checkpoints, and how often they write one."""

    folder: Path
    every: int

    def of(self, cell: Cell) -> Checkpoints:
        """Return the checkpoints of a cell."""
        return Checkpoints(self.folder / cell.key, self.every)

    def resumed_at(self, cell: Cell) -> int:
        """Return the round at which a cell will resume; 0 if it starts from the beginning."""
        return self.of(cell).finished()

    def remove(self, cell: Cell) -> None:
        """Remove a cell's checkpoints, which are no longer needed."""
        self.of(cell).remove()
        with contextlib.suppress(OSError):  # others are left, or there never were any
            self.folder.rmdir()


class Workshop:
    """Makes problem instances and keeps the last one, which cells of the same seed share."""

    def __init__(self) -> None:
        """Start without an instance."""
        self._made: tuple[Any, Instance] | None = None

    def instance(self, cell: Cell) -> Instance:
        """Return the instance that a cell runs on."""
        wanted = (cell.problem, cell.seed)
        if self._made is None or self._made[0] != wanted:
            self._made = None  # free the old one before making the new one
            self._made = wanted, cell.problem.instance(cell.seed)
        return self._made[1]


def run_cell(
    cell: Cell,
    instance: Instance,
    *,
    processes: int | str | Ranks,
    saving: Saving | None,
    on_round: OnRound | None,
    environments: Environments,
    timeout: float = TIMEOUT_SECONDS,
    restarts: int = RESTARTS,
    initial: Tensor | None = None,
) -> Outcome:
    """Train a cell, or resume it from its checkpoint, and return the outcome.

    `initial`, if given, takes the place of the workload's initial parameters, (J,).
    """

    def outcome(
        trace: Trace, status: Status, error: BaseException | None = None, *, fatal: bool = False
    ) -> Outcome:
        run = run_of(
            cell.record,
            trace,
            status,
            str(error) if status in ("diverged", "failed") else None,
            facts=instance.facts,
            environments=environments,
        )
        return Outcome(run, error if fatal else None)

    recipe = {
        each.name: getattr(cell.recipe, each.name) for each in dataclasses.fields(cell.recipe)
    }
    try:
        trace = simulate(
            instance.workload,
            cell.sparsifier,
            seed=cell.seed,
            processes=processes,
            checkpoints=saving.of(cell) if saving else None,
            on_round=on_round,
            timeout=timeout,
            restarts=restarts,
            initial=initial,
            **recipe,
        )
    except InterruptedRun as stop:
        if not stop.trace.rounds:
            return Outcome(None, KeyboardInterrupt())
        return outcome(stop.trace, "stopped", KeyboardInterrupt(), fatal=True)
    except NonFiniteGradientError as error:
        if error.trace is None:
            return Outcome(None, error)
        return outcome(error.trace, "diverged", error)
    except RunError as error:
        if error.trace is None or not error.trace.rounds:
            return Outcome(None, error)
        return outcome(error.trace, "failed", error, fatal=True)
    return outcome(trace, "finished" if trace.rounds == cell.recipe.rounds else "stopped")
