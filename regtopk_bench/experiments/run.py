"""`run`: from cells to runs, one after another or several at a time; it never prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.experiments.cell import Cell
from regtopk_bench.experiments.environment import environment
from regtopk_bench.experiments.jobs import Jobs
from regtopk_bench.experiments.observer import Observer
from regtopk_bench.experiments.one_by_one import OneByOne
from regtopk_bench.experiments.outcome import Saving
from regtopk_bench.results import Run, Scalar
from regtopk_bench.results.journal import Journal
from regtopk_bench.training import RESTARTS
from regtopk_bench.transport import TIMEOUT_SECONDS, Ranks

_SETTLED = ("finished", "diverged")
"""The outcomes that would recur if a cell were run again."""


def run(
    cells: Sequence[Cell],
    *,
    journal: Journal | None = None,
    saving: Saving | None = None,
    processes: int | str | Ranks = "auto",
    jobs: int = 1,
    timeout: float = TIMEOUT_SECONDS,
    restarts: int = RESTARTS,
    observer: Observer | None = None,
) -> Iterator[Run]:
    """Run cells and yield their runs as they end.

    A cell whose gradients stop being finite does not stop the others; any other failure does,
    after that cell's partial run has been yielded.

    Args:
        cells: What to run, distinct.
        journal: Records when cells start and how they end. Cells it has settled are not run
            again: their stored runs are yielded.
        saving: Checkpoints, from which cells are resumed; they are removed once the caller, and
            the journal if there is one, have the outcome. None means no checkpoints.
        processes: How many processes host the workers of a cell; see `simulate`.
        jobs: How many cells run at the same time, each in its own process; if more than one,
            `processes` must be 1 or "auto".
        timeout: How many seconds a process may keep the others waiting or, if cells run at the same
            time, take for a round.
        restarts: How often the processes of a cell are started again after one was lost: see
            `simulate`.
        observer: Told about progress.

    Raises:
        ConfigurationError: If cells repeat, one cannot be run, or several at a time are to have
            several processes each.
        RunError: When a cell failed, or the journal cannot be written.
        KeyboardInterrupt: On Ctrl-C, after the partial runs of running cells have been yielded.
    """
    if jobs < 1:
        raise ConfigurationError(f"jobs {jobs} is below 1")
    if jobs > 1 and processes not in ("auto", 1):
        raise ConfigurationError(
            f"jobs {jobs} with processes {shown(processes)}: cells that run at the same time have "
            'one process each; give processes 1 or "auto"'
        )
    _check_distinct(cells)
    how = saving, timeout, restarts
    runner = OneByOne(processes, *how) if jobs == 1 else Jobs(jobs, *how)
    return _run(cells, _Record(journal, saving), runner, observer or Observer())


def _run(
    cells: Sequence[Cell], record: _Record, runner: OneByOne | Jobs, observer: Observer
) -> Iterator[Run]:
    waiting = []
    for cell in cells:
        settled = record.settled(cell)
        if settled is None:
            waiting.append(cell)
            continue
        record.discard(cell, settled)
        observer.ended(cell, settled)
        yield settled
    error: BaseException | None = None
    for cell, outcome in runner.run(waiting, record.began, observer):
        failed = outcome.error
        if outcome.run:
            safe = False
            try:
                record.ended(outcome.run)
                safe = True
            except (RunError, KeyboardInterrupt) as unsaved:  # the caller gets it all the same
                failed = unsaved
            observer.ended(cell, outcome.run)
            yield outcome.run
            if safe:
                record.discard(cell, outcome.run)
        if failed and error is None:
            error = failed
            runner.stop()
    if error:
        raise error


class _Record:
    """What an experiment keeps while it runs."""

    def __init__(self, journal: Journal | None, saving: Saving | None) -> None:
        self._journal, self._saving = journal, saving
        self._here = environment()

    def settled(self, cell: Cell) -> Run | None:
        """Return the run of a settled cell, which need not be run again."""
        run = self._journal.contents.runs.get(cell.key) if self._journal else None
        return run if run is not None and run.status in _SETTLED else None

    def began(self, cell: Cell) -> list[dict[str, Scalar]]:
        """Record that a cell starts or resumes; return all environments that it has run in."""
        if self._journal is None:
            return [self._here]
        resumed_at = self._saving.resumed_at(cell) if self._saving else 0
        return self._journal.started(cell.key, resumed_at, self._here)

    def ended(self, run: Run) -> None:
        """Record an outcome."""
        if self._journal:
            self._journal.append(run)

    def discard(self, cell: Cell, run: Run) -> None:
        """Remove the checkpoints of a settled cell, whose run is safe by now."""
        if self._saving and run.status in _SETTLED:
            self._saving.remove(cell)


def _check_distinct(cells: Sequence[Cell]) -> None:
    seen: set[str] = set()
    for cell in cells:
        if cell.key in seen:
            raise ConfigurationError(f"{cell} is there twice: every cell is run once")
        seen.add(cell.key)
