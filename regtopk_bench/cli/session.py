"""One call of a command that runs cells: its folder, journal, runs and report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.resuming import check_same_cells, reopened
from regtopk_bench.cli.signals import held
from regtopk_bench.cli.streams import UnwritableOutputError
from regtopk_bench.errors import RunError
from regtopk_bench.experiments import Cell, Observer, Saving, run
from regtopk_bench.report.reports import plot, print_result
from regtopk_bench.results import Header, Result, Run, Setting, store
from regtopk_bench.results.journal import JOURNAL_FILE, Journal
from regtopk_bench.results.verdict import Verdict
from regtopk_bench.settings import as_json
from regtopk_bench.transport import TIMEOUT_SECONDS

_CHECKPOINTS = "checkpoints"


@dataclass
class Session:
    """The runs of a command. Whatever happens, the runs made so far are saved and printed."""

    invocation: Invocation
    command: str
    resumed: Path | None = None
    """The folder of the resumed run."""
    runs: dict[str, Run] = field(default_factory=dict, init=False)
    """The runs so far, by the cell's key."""
    verdicts: list[Verdict] = field(default_factory=list, init=False)
    """What a check concludes."""
    notes: list[str] = field(default_factory=list, init=False)
    """What is to be known of the verdicts as a whole."""
    failures: list[str] = field(default_factory=list, init=False)
    """What went wrong with runs that did not keep others from running."""
    _order: Sequence[str] = field(default=(), init=False)
    _folder: Path | None = field(default=None, init=False)
    _journal: Journal | None = field(default=None, init=False)
    _created: str = field(init=False)

    def __post_init__(self) -> None:
        """Note when the session began."""
        self._created = datetime.now(UTC).isoformat(timespec="seconds")

    def run(self, cells: Sequence[Cell], *, unit: str = "rounds", per_round: int = 1) -> None:
        """Run cells: see `keep`.

        Args:
            cells: What to run; cells that the resumed run has settled are not run again.
            unit: What progress counts.
            per_round: Units per round.
        """
        self.expect([cell.key for cell in cells])
        if self.resumed:
            check_same_cells(self.resumed, cells)
        total = per_round * sum(cell.recipe.rounds for cell in cells)

        def work() -> None:
            with Counted(self.invocation.err, total, unit) as progress:
                self._run(cells, _Watcher(self.invocation, progress, per_round))

        self.keep(work)

    def keep(self, work: Callable[[], None]) -> None:
        """Do the work, then save and print its runs, whatever happened, and report failures.

        Args:
            work: Adds to `runs` and `failures`.

        Raises:
            ConfigurationError: If the output folder cannot be written to.
            RunError: When a run failed.
            KeyboardInterrupt: When the user stopped the experiment.
        """
        error = None
        try:
            self._open()
            work()
        except BaseException as raised:
            error = raised
            raise
        finally:
            try:
                self._close(error)
            finally:
                if self._journal:
                    self._journal.close()
        if self.failures:
            others = len(self.failures) - 1
            more = f" (and {others} more of {len(self.runs)} runs failed)" if others else ""
            raise RunError(self.failures[0] + more)

    @property
    def journal(self) -> Journal | None:
        """The journal while the work is done, if the run is saved and can be resumed."""
        return self._journal

    def expect(self, keys: Sequence[str]) -> None:
        """Say which runs there will be, in their order."""
        self._order = keys

    def add(self, runs: Iterable[Run]) -> None:
        """Add runs."""
        self.runs |= {each.cell.key: each for each in runs}

    def _run(self, cells: Sequence[Cell], observer: Observer) -> None:
        settings, names = self.invocation.resolved.settings, {cell.key: cell for cell in cells}
        saving = None
        if self._folder and hasattr(settings, "checkpoint_every"):
            saving = Saving(self._folder / _CHECKPOINTS, settings.checkpoint_every)
        for each in run(
            cells,
            journal=self._journal,
            saving=saving,
            processes=getattr(settings, "processes", 1),
            jobs=getattr(settings, "jobs", 1),
            timeout=getattr(settings, "timeout", TIMEOUT_SECONDS),
            observer=observer,
        ):
            self.add([each])
            if each.status == "diverged":
                self.failures.append(f"{names[each.cell.key]}: {each.error}")

    def _open(self) -> None:
        """Create the folder and the journal, or open those of the resumed run."""
        settings = self.invocation.resolved.settings
        if self.resumed:
            self._folder = self.resumed
            self._journal = reopened(self._folder, self._header)
            self._created = self._journal.contents.header.created
            self.add(self._journal.contents.runs.values())
        elif settings.save:
            self._folder = store.new_folder(Path(settings.output), self.command)
            if hasattr(settings, "resume"):
                self._journal = Journal.create(self._folder, self._header)

    def _close(self, error: BaseException | None) -> None:
        """Save, print and draw what there is; a stopped run does not wait for its plot.

        Args:
            error: What is on its way, if the work has not been finished.
        """
        folder = self._folder
        if not (self.runs or self.verdicts):
            self._leave_nothing()
            return
        result, saved = self.result, False
        if folder:
            try:
                with held():
                    store.write(result, folder)
                saved = True
            except OSError as unsaved:
                self.failures.append(f"cannot save to {folder}: {unsaved.strerror}")
        try:
            print_result(result, self.invocation.resolved.settings.format, self.invocation.out)
            self.invocation.out.file.flush()
        except UnwritableOutputError as unwritten:  # what was measured is kept all the same
            if not unwritten.reader_left:
                self.failures.append(str(unwritten))
        if folder and saved:
            self.invocation.note(f"saved {folder}")
            self._draw_or_say_how(result, folder, whole=error is None)
        elif folder:
            self._say_how_to_resume(folder)
        if error:  # or what went wrong with single runs would not be told
            for failure in self.failures:
                if failure != str(error):
                    self.invocation.warn(failure)

    def _draw_or_say_how(self, result: Result, folder: Path, *, whole: bool) -> None:
        unsettled = any(each.status in ("stopped", "failed") for each in result.runs)
        if not whole or unsettled or len(result.runs) < len(self._order):
            self._say_how_to_resume(folder)
            return
        with contextlib.suppress(OSError):  # the result has everything in it
            (folder / JOURNAL_FILE).unlink()
        try:
            plot(result, folder, getattr(self.invocation.resolved.settings, "plot_format", "png"))
        except Exception as error:  # without a plot, the run is still worth having
            reason = f"{type(error).__name__}: {error}"
            self.invocation.note(f"the plot could not be drawn ({reason}); all else is saved")

    def _leave_nothing(self) -> None:
        """Remove the folder that this session created, unless it holds a checkpoint."""
        if not self._folder:
            return
        if self.resumed or (self._folder / _CHECKPOINTS).exists():
            self._say_how_to_resume(self._folder)
            return
        with contextlib.suppress(OSError):
            (self._folder / JOURNAL_FILE).unlink(missing_ok=True)
            self._folder.rmdir()

    def _say_how_to_resume(self, folder: Path) -> None:
        if self._journal:
            self.invocation.note(f"to resume: regtopk-bench {self.command} --resume {folder}")

    @property
    def _header(self) -> Header:
        resolved, profile = self.invocation.resolved, self.invocation.profile
        chosen = {"profile": Setting(value=profile, source="flag")} if profile else {}
        return Header(
            command=self.command,
            created=self._created,
            settings={
                name: Setting(value=value, source=resolved.sources[name])
                for name, value in as_json(resolved.settings).items()
            }
            | chosen,
        )

    @property
    def result(self) -> Result:
        """The result so far, in the order of the cells."""
        place = {key: number for number, key in enumerate(self._order)}
        ordered = sorted(self.runs.values(), key=lambda each: place.get(each.cell.key, len(place)))
        return Result(**dict(self._header), runs=ordered, verdicts=self.verdicts, notes=self.notes)


class _Watcher(Observer):
    """Shows progress, and describes runs if the call is verbose."""

    def __init__(self, invocation: Invocation, progress: Counted, per_round: int) -> None:
        self._invocation, self._progress, self._per_round = invocation, progress, per_round
        self._finished = 0
        self.watches_rounds = invocation.err.is_terminal and not invocation.quiet

    def began(self, cell: Cell) -> None:
        self._progress.begin(str(cell), self._finished * self._per_round)

    def round(self, cell: Cell, finished: int) -> None:
        self._progress.update(finished * self._per_round)

    def ended(self, cell: Cell, run: Run) -> None:
        self._finished += cell.recipe.rounds
        if self.watches_rounds:
            self._progress.begin(str(cell), self._finished * self._per_round)
            self._progress.update(0)
        if self._invocation.verbose:
            seconds = sum(v for name, v in run.execution.items() if name.endswith("_seconds"))
            self._invocation.note(
                f"{cell}: {run.status}, {run.metrics['rounds']} rounds in {seconds:.2f} s, "
                f"processes {run.execution['processes']}"
            )
