"""Run the cells of an experiment, keep what came out, print it, and say how it went."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.errors import (
    ConfigurationError,
    InterruptedRun,
    NonFiniteGradientError,
    RunError,
)
from regtopk_bench.report.reports import plot, print_result
from regtopk_bench.results import Result, Run, Scalar, Setting, store
from regtopk_bench.results.environment import environment
from regtopk_bench.results.runs import run_of
from regtopk_bench.training import Checkpoints, Trace

_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Cell:
    """One configuration and seed, and how to run it."""

    configuration: Mapping[str, Scalar]
    rounds: int
    simulate: Callable[..., Trace]
    """`training.simulate` but for `on_round` and `checkpoints`."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """What a result says beside the metrics."""

    def __str__(self) -> str:
        """Name the run in a few words."""
        names = [name for name in ("density", "seed") if name in self.configuration]
        shown = [f"{name} {self.configuration[name]}" for name in names]
        return " ".join([str(self.configuration["algorithm"]), *shown])

    @property
    def identity(self) -> str:
        """The configuration as text that is the same for the same configuration."""
        return json.dumps(self.configuration, sort_keys=True)

    def checkpoints(self, folder: Path, every: int) -> Checkpoints:
        """Return the place of its checkpoints in an experiment's folder."""
        name = str(self).replace(" ", "-")
        return Checkpoints(folder / _CHECKPOINTS / name, every, self.identity)

    def is_of(self, run: Run) -> bool:
        """Tell whether a run has this cell's name; its configuration may be another."""
        names = ("algorithm", "density", "seed")
        return all(run.cell.get(name) == self.configuration.get(name) for name in names)


@dataclass
class Experiment:
    """The runs of a command. Whatever happens, those that were made are saved and printed."""

    invocation: Invocation
    command: str
    resumed: tuple[Path, Result] | None = None
    """The folder and the result of an experiment that this one goes on with."""
    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(
        self,
        cells: Iterable[Cell],
        total_rounds: int,
        *,
        checkpoint_every: int | None = None,
        unit: str = "rounds",
        per_round: int = 1,
    ) -> None:
        """Run cells one after the other: see `keep`.

        Runs whose gradients stop being finite do not keep the others from running; a broken
        pool does.

        Args:
            cells: What to run; those that the resumed experiment has finished are not run again.
            total_rounds: Of all cells.
            checkpoint_every: Rounds from one checkpoint to the next; None writes none.
            unit: What progress counts.
            per_round: How many of them a round has.
        """

        def work(folder: Path | None) -> bool:
            with Counted(self.invocation.err, total_rounds * per_round, unit) as progress:
                return self._run_all(cells, progress, per_round, folder, checkpoint_every)

        self.keep(work)

    def keep(self, work: Callable[[Path | None], bool]) -> None:
        """Do the work, then save and print its runs, whatever happened, and report failures.

        Args:
            work: Adds to `runs` and `failures`; returns whether it did all it had to. It is given
                the folder of the experiment, if there is one.

        Raises:
            ConfigurationError: If the output folder cannot be written to.
            RunError: When a run failed.
            KeyboardInterrupt: When the user stopped the experiment.
        """
        settings = self.invocation.resolved.settings
        if self.resumed:
            folder: Path | None = self.resumed[0]
        else:
            parent = Path(settings.output)
            folder = store.new_folder(parent, self.command) if settings.save else None
        interrupted, whole = False, False
        try:
            whole = work(folder)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if self.runs:
                self._report(folder, draw=whole)
            elif folder and not self.resumed:
                shutil.rmtree(folder)
        if interrupted:
            raise KeyboardInterrupt
        if self.failures:
            others = len(self.failures) - 1
            more = f" (and {others} more of {len(self.runs)} runs failed)" if others else ""
            raise RunError(self.failures[0] + more)

    def _run_all(
        self,
        cells: Iterable[Cell],
        progress: Counted,
        per_round: int,
        folder: Path | None,
        checkpoint_every: int | None,
    ) -> bool:
        """Run the cells; return whether all had their turn."""
        watched = self.invocation.err.is_terminal and not self.invocation.quiet
        finished_rounds = 0
        for cell in cells:
            run = self._finished_before(cell)
            if run is None:
                progress.begin(str(cell), finished_rounds * per_round)
                options: dict[str, Any] = {}
                if folder and checkpoint_every:
                    self._save_for_resuming(folder)
                    options["checkpoints"] = cell.checkpoints(folder, checkpoint_every)
                if watched:
                    options["on_round"] = lambda info: progress.update(info.round * per_round)
                try:
                    trace = cell.simulate(**options)
                    run = run_of(cell.configuration, trace, facts=cell.facts)
                except InterruptedRun as stop:
                    self.runs.append(
                        run_of(cell.configuration, stop.trace, "stopped", facts=cell.facts)
                    )
                    raise
                except RunError as error:
                    diverged = isinstance(error, NonFiniteGradientError)
                    if error.trace is None or not (error.trace.rounds or diverged):
                        raise
                    run = run_of(
                        cell.configuration, error.trace, "failed", str(error), facts=cell.facts
                    )
                    self.failures.append(f"{cell}: {error}")
                    if not diverged:
                        self.runs.append(run)
                        return False
            self.runs.append(run)
            finished_rounds += cell.rounds
            self._describe(cell, run)
        return True

    def _save_for_resuming(self, folder: Path) -> None:
        """Save the settings, and the runs so far."""
        try:
            store.write(self._result(), folder)
        except OSError as error:
            raise RunError(f"cannot save to {folder}: {error.strerror}") from error

    def _finished_before(self, cell: Cell) -> Run | None:
        """Return the run of a cell that the resumed experiment has finished.

        Raises:
            ConfigurationError: If it was of another configuration.
        """
        before = self.resumed[1].runs if self.resumed else []
        for run in before:
            if run.status != "finished" or not cell.is_of(run):
                continue
            for name, now in cell.configuration.items():
                if run.cell.get(name) != now:
                    raise ConfigurationError(
                        f"the run to resume had another {name}, {run.cell.get(name)} and not "
                        f"{now}: resume with what it was started with, or start a new run"
                    )
            return run
        return None

    def _all_runs(self) -> list[Run]:
        """Return the runs so far, and those of the resumed experiment that are still to come."""
        before = self.resumed[1].runs if self.resumed else []
        cells = [run.cell for run in self.runs]
        return self.runs + [run for run in before if run.cell not in cells]

    def _describe(self, cell: Cell, run: Run) -> None:
        if self.invocation.verbose:
            seconds = sum(v for name, v in run.execution.items() if name.endswith("_seconds"))
            self.invocation.note(
                f"{cell}: {run.status}, {run.metrics['rounds']} rounds in {seconds:.2f} s, "
                f"processes {run.execution['processes']}"
            )

    def _result(self) -> Result:
        resolved = self.invocation.resolved
        return Result(
            command=self.command,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            settings={
                name: Setting(value=value, source=resolved.sources[name])
                for name, value in asdict(resolved.settings).items()
            },
            environment=environment(),
            runs=self._all_runs(),
        )

    def _report(self, folder: Path | None, *, draw: bool) -> None:
        """Save and print; whoever stops a run early does not wait for its plot."""
        settings = self.invocation.resolved.settings
        result = self._result()
        try:
            if folder:
                store.write(result, folder)
                if draw:
                    plot(result, folder, settings.plot_format)
        except OSError as error:
            self.failures.append(f"cannot save to {folder}: {error.strerror}")
        print_result(result, settings.format, self.invocation.out)
        if folder:
            self.invocation.note(f"saved {folder}")
            with contextlib.suppress(OSError):  # where checkpoints are left, or never were
                (folder / _CHECKPOINTS).rmdir()
            if (folder / _CHECKPOINTS).is_dir():
                self.invocation.note(f"to go on: regtopk-bench {self.command} --resume {folder}")
            elif not draw:
                self.invocation.note(f"to draw it: regtopk-bench show {folder}")
