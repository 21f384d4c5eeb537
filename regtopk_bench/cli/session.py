"""One call of a command that runs cells: its folder, journal, runs and report."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os.path import lexists
from pathlib import Path

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.launched import starts_again
from regtopk_bench.cli.resuming import (
    forget_launch,
    note_launch,
    note_printed,
    reopened,
    was_printed,
)
from regtopk_bench.cli.streams import UnwritableOutputError
from regtopk_bench.errors import MissingPackageError, RunError
from regtopk_bench.interrupts import held
from regtopk_bench.report.reports import plot, print_result
from regtopk_bench.results import CHECK, Header, Result, Run, Setting, store
from regtopk_bench.results.journal import JOURNAL_FILE, Journal
from regtopk_bench.results.verdict import Verdict
from regtopk_bench.settings import ReportSettings, as_json

CHECKPOINTS = "checkpoints"
"""The folder of checkpoints in that of a run."""


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
    complete: bool = field(default=False, init=False)
    """Whether all that was to be done is done, saved and printed, runs that failed included."""
    folder: Path | None = field(default=None, init=False)
    """While the work is done: the folder of the run, if it is saved."""
    journal: Journal | None = field(default=None, init=False)
    """While the work is done: the journal, if the run is saved and can be resumed."""
    _order: Sequence[str] = field(default=(), init=False)
    _made: Sequence[Path] = field(default=(), init=False)
    """Folders that there were not before, innermost first."""
    _created: str = field(init=False)

    def __post_init__(self) -> None:
        """Note when the session began."""
        self._created = datetime.now(UTC).isoformat(timespec="seconds")

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
                if self.journal:
                    self.journal.close()
        self.complete = True
        if self.failures:
            others = len(self.failures) - 1
            more = f" (and {others} more of {len(self.runs)} runs failed)" if others else ""
            raise RunError(self.failures[0] + more)

    def expect(self, keys: Sequence[str]) -> None:
        """Say which runs there will be, in their order."""
        self._order = keys

    def add(self, runs: Iterable[Run]) -> None:
        """Add runs."""
        self.runs |= {each.cell.key: each for each in runs}

    def _open(self) -> None:
        """Create the folder and the journal, or open those of the resumed run."""
        settings = self.invocation.resolved.settings
        if self.resumed:
            self.folder = self.resumed
            self.journal = reopened(self.folder, self._header)
            self._created = self.journal.contents.header.created
            self.add(self.journal.contents.runs.values())
        elif settings.save:
            parent = Path(settings.output)
            self._made = [each for each in (parent, *parent.parents) if not lexists(each)]
            with held():
                self.folder = store.new_folder(parent, self.command)
                if hasattr(settings, "resume"):
                    self.journal = Journal.create(self.folder, self._header)
                note_launch(self.folder)

    def _close(self, error: BaseException | None) -> None:
        """Save, print and draw what there is; a stopped run does not wait for its plot.

        Args:
            error: What is on its way, if the work has not been finished.
        """
        folder = self.folder
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
            if not self._printed_elsewhere(error):
                form = self.invocation.resolved.settings.format
                print_result(result, form, self.invocation.out)
                self.invocation.out.file.flush()
                if folder:
                    note_printed(folder)
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

    def _printed_elsewhere(self, error: BaseException | None) -> bool:
        """Tell whether this process has printed the result before, or will when started again."""
        if error is not None and starts_again():
            return True
        return self.resumed is not None and was_printed(self.resumed)

    def _draw_or_say_how(self, result: Result, folder: Path, *, whole: bool) -> None:
        unsettled = any(each.status in ("stopped", "failed") for each in result.runs)
        if not whole or unsettled or len(result.runs) < len(self._order):
            self._say_how_to_resume(folder)
            return
        with contextlib.suppress(OSError):  # the result has everything in it
            (folder / JOURNAL_FILE).unlink()
        try:
            self._draw(result, folder)
        except KeyboardInterrupt:
            if not starts_again():
                forget_launch(folder)
            raise

    def _draw(self, result: Result, folder: Path) -> None:
        settings = self.invocation.resolved.settings
        if not isinstance(settings, ReportSettings):
            return
        try:
            plot(
                result,
                folder,
                settings.plot_format,
                width=settings.plot_width,
                titles=settings.plot_title,
            )
        except MissingPackageError as error:
            self.invocation.note(f"{error}; all else is saved")
        except Exception as error:  # without a plot, the run is still worth having
            reason = f"{type(error).__name__}: {error}"
            self.invocation.note(f"the plot could not be drawn ({reason}); all else is saved")

    def _leave_nothing(self) -> None:
        """Remove the folders that this session created, unless one holds a checkpoint."""
        if not self.folder:
            return
        if self.resumed or (self.folder / CHECKPOINTS).exists():
            self._say_how_to_resume(self.folder)
            return
        with contextlib.suppress(OSError):
            forget_launch(self.folder)
            (self.folder / JOURNAL_FILE).unlink(missing_ok=True)
            for each in (self.folder, *self._made):
                each.rmdir()

    def _say_how_to_resume(self, folder: Path) -> None:
        if self.journal:
            words = ["regtopk-bench", self.command, "--resume", str(folder)]
            if self.command == CHECK and self.invocation.config:  # where the suite is
                words += ["--config", self.invocation.config]
            self.invocation.note(f"to resume: {shlex.join(words)}")

    @property
    def _header(self) -> Header:
        resolved = self.invocation.resolved
        general = {"profile": self.invocation.profile, "config": self.invocation.config}
        return Header(
            command=self.command,
            created=self._created,
            settings={
                name: Setting(value=value, source=resolved.sources[name])
                for name, value in as_json(resolved.settings).items()
            }
            | {name: Setting(value=each, source="flag") for name, each in general.items() if each},
        )

    @property
    def result(self) -> Result:
        """The result so far, in the order of the cells."""
        place = {key: number for number, key in enumerate(self._order)}
        ordered = sorted(self.runs.values(), key=lambda each: place.get(each.cell.key, len(place)))
        return Result(**dict(self._header), runs=ordered, verdicts=self.verdicts, notes=self.notes)
