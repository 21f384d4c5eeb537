"""Run the cells of an experiment, keep what came out, print it, and say how it went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.errors import InterruptedRun, NonFiniteGradientError, RunError
from regtopk_bench.report.reports import plot, print_result
from regtopk_bench.results import Result, Run, Scalar, Setting, store
from regtopk_bench.results.environment import environment
from regtopk_bench.results.runs import run_of
from regtopk_bench.training import RoundInfo, Trace

OnRound = Callable[[RoundInfo], None]


@dataclass(frozen=True)
class Cell:
    """One configuration and seed, and how to run it."""

    configuration: Mapping[str, Scalar]
    rounds: int
    simulate: Callable[[OnRound | None], Trace]

    def __str__(self) -> str:
        """Name the run in a few words."""
        names = [name for name in ("density", "seed") if name in self.configuration]
        shown = [f"{name} {self.configuration[name]}" for name in names]
        return " ".join([str(self.configuration["algorithm"]), *shown])


@dataclass
class Experiment:
    """The runs of a command. Whatever happens, those that were made are saved and printed."""

    invocation: Invocation
    command: str
    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self, cells: Iterable[Cell], total_rounds: int) -> None:
        """Run cells one after the other: see `keep`.

        Runs whose gradients stop being finite do not keep the others from running; a broken
        pool does.
        """
        self.keep(lambda: self._run_all(cells, total_rounds))

    def keep(self, work: Callable[[], bool]) -> None:
        """Do the work, then save and print its runs, whatever happened, and report failures.

        Args:
            work: Adds to `runs` and `failures`; returns whether it did all it had to.

        Raises:
            ConfigurationError: If the output folder cannot be written to.
            RunError: When a run failed.
            KeyboardInterrupt: When the user stopped the experiment.
        """
        settings = self.invocation.resolved.settings
        folder = store.new_folder(Path(settings.output), self.command) if settings.save else None
        interrupted, whole = False, False
        try:
            whole = work()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if self.runs:
                self._report(folder, draw=whole)
            elif folder:
                folder.rmdir()
        if interrupted:
            raise KeyboardInterrupt
        if self.failures:
            others = len(self.failures) - 1
            more = f" (and {others} more of {len(self.runs)} runs failed)" if others else ""
            raise RunError(self.failures[0] + more)

    def _run_all(self, cells: Iterable[Cell], total_rounds: int) -> bool:
        """Run the cells; return whether all had their turn."""
        watched = self.invocation.err.is_terminal and not self.invocation.quiet
        finished_rounds = 0
        with Counted(self.invocation.err, total_rounds) as progress:
            for cell in cells:
                progress.begin(str(cell), finished_rounds)
                try:
                    trace = cell.simulate(
                        (lambda info: progress.update(info.round)) if watched else None
                    )
                    self.runs.append(run_of(cell.configuration, trace))
                except InterruptedRun as stop:
                    self.runs.append(run_of(cell.configuration, stop.trace, "stopped"))
                    raise
                except RunError as error:
                    if error.trace is None:
                        raise
                    failed = run_of(cell.configuration, error.trace, "failed", str(error))
                    self.runs.append(failed)
                    self.failures.append(f"{cell}: {error}")
                    if not isinstance(error, NonFiniteGradientError):
                        return False
                finished_rounds += cell.rounds
                self._describe(cell, self.runs[-1])
        return True

    def _describe(self, cell: Cell, run: Run) -> None:
        if self.invocation.verbose:
            seconds = sum(v for name, v in run.execution.items() if name.endswith("_seconds"))
            self.invocation.note(
                f"{cell}: {run.status}, {run.metrics['rounds']} rounds in {seconds:.2f} s, "
                f"processes {run.execution['processes']}"
            )

    def _report(self, folder: Path | None, *, draw: bool) -> None:
        """Save and print; whoever stops a run early does not wait for its plot."""
        settings = self.invocation.resolved.settings
        result = Result(
            command=self.command,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            settings={
                name: Setting(value=value, source=self.invocation.resolved.sources[name])
                for name, value in asdict(settings).items()
            },
            environment=environment(),
            runs=self.runs,
        )
        try:
            if folder:
                store.write(result, folder)
                if draw:
                    plot(result, folder, settings.plot_format)
        except OSError as error:
            self.failures.append(f"cannot save to {folder}: {error.strerror}")
        print_result(result, settings.format, self.invocation.out)
        if folder:
            more = "" if draw else f" (to draw it: regtopk-bench show {folder})"
            self.invocation.note(f"saved {folder}{more}")
