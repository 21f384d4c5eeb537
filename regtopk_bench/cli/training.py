"""Cells that are trained within a session, with progress and a line for each if wanted."""

from __future__ import annotations

from collections.abc import Sequence

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.resuming import check_same_cells
from regtopk_bench.cli.session import CHECKPOINTS, Session
from regtopk_bench.experiments import Cell, Observer, Saving, run
from regtopk_bench.results import Run
from regtopk_bench.transport import TIMEOUT_SECONDS


def train(
    session: Session, cells: Sequence[Cell], *, unit: str = "rounds", per_round: int = 1
) -> None:
    """Run cells: see `Session.keep`.

    Args:
        session: Keeps the runs.
        cells: What to run; cells that the resumed run has settled are not run again.
        unit: What progress counts.
        per_round: Units per round.
    """
    session.expect([cell.key for cell in cells])
    if session.resumed:
        check_same_cells(session.resumed, cells)
    total = per_round * sum(cell.recipe.rounds for cell in cells)

    def work() -> None:
        with Counted(session.invocation.err, total, unit) as progress:
            _train(session, cells, _Watcher(session.invocation, progress, per_round))

    session.keep(work)


def _train(session: Session, cells: Sequence[Cell], observer: Observer) -> None:
    settings, names = session.invocation.resolved.settings, {cell.key: cell for cell in cells}
    saving = None
    if session.folder and hasattr(settings, "checkpoint_every"):
        saving = Saving(session.folder / CHECKPOINTS, settings.checkpoint_every)
    for each in run(
        cells,
        journal=session.journal,
        saving=saving,
        processes=getattr(settings, "processes", 1),
        jobs=getattr(settings, "jobs", 1),
        timeout=getattr(settings, "timeout", TIMEOUT_SECONDS),
        observer=observer,
    ):
        session.add([each])
        if each.status == "diverged":
            session.failures.append(f"{names[each.cell.key]}: {each.error}")


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
