"""Cells that are trained within a session, with progress and a line for each if wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.launched import launch, speak
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.resuming import check_same_cells, forget_launch
from regtopk_bench.cli.session import CHECKPOINTS, Session
from regtopk_bench.errors import ConfigurationError, RunError, WorkerDiedError
from regtopk_bench.experiments import Cell, Observer, Saving, run
from regtopk_bench.report.notes import slow_exchange
from regtopk_bench.results import Run
from regtopk_bench.training import RESTARTS
from regtopk_bench.transport import TIMEOUT_SECONDS, Ranks, joined

_GIVEN = ("flag", "environment", "profile", "defaults")


@contextlib.contextmanager
def ranks_of(invocation: Invocation) -> Iterator[Ranks | None]:
    """Connect with the other processes that `torchrun` has started, if it has started this one.

    The first of them does all that is to be done; see `joined`.
    """
    try:
        with joined(invocation.resolved.settings.timeout) as ranks:
            yield ranks
    except WorkerDiedError:
        speak()
        raise


def train(
    session: Session,
    cells: Sequence[Cell],
    *,
    unit: str = "rounds",
    per_round: int = 1,
    ranks: Ranks | None = None,
) -> None:
    """Run cells: see `Session.keep`.

    Args:
        session: Keeps the runs.
        cells: What to run; cells that the resumed run has settled are not run again.
        unit: What progress counts.
        per_round: Units per round.
        ranks: The processes that `torchrun` has started, if it has started this one.

    Raises:
        ConfigurationError: If the settings ask for other processes than those.
    """
    settings = session.invocation.resolved.settings
    if ranks and (settings.jobs > 1 or settings.processes not in ("auto", ranks.count)):
        raise ConfigurationError(
            f"torchrun has started {ranks.count} processes, which host the workers of one cell "
            "after another: leave out --processes and --jobs"
        )
    session.expect([cell.key for cell in cells])
    if session.resumed:
        check_same_cells(session.resumed, cells)
    _tell_seeds(session.invocation)
    total = per_round * sum(cell.recipe.rounds for cell in cells)

    def work() -> None:
        with Counted(session.invocation, total, unit) as progress:
            _announce(session, cells, progress, per_round)
            watcher = _Watcher(session.invocation, progress, len(cells), per_round)
            _train(session, cells, watcher, ranks)

    try:
        session.keep(work)
    except RunError as error:
        if session.complete:
            _leave(session, ranks, error.exit_code)
        raise
    _leave(session, ranks, 0)


def _leave(session: Session, ranks: Ranks | None, exit_code: int) -> None:
    """Note that nothing is left to do, should `torchrun` start this process again."""
    if ranks:
        ranks.finished(exit_code)
    if session.folder:
        forget_launch(session.folder)


def _tell_seeds(invocation: Invocation) -> None:
    """Say which seeds were asked for: a number alone is a seed, and not how many there are."""
    resolved = invocation.resolved
    if not resolved.sources.get("seeds", "").startswith(_GIVEN):
        return
    seeds = resolved.settings.seeds
    if len(seeds) > 1:
        invocation.note(f"{len(seeds)} seeds: {in_ranges(seeds)}")
    else:
        hint = f"; 0-{seeds[0] - 1} are {seeds[0]} seeds" if seeds[0] > 1 else ""
        invocation.note(f"one seed: {seeds[0]}{hint}")


def in_ranges(numbers: Sequence[int]) -> str:
    """Return whole numbers as `--seeds` takes them: 0-4,7."""
    ranges: list[list[int]] = []
    for each in numbers:
        if ranges and each == ranges[-1][-1] + 1:
            ranges[-1][1:] = [each]
        else:
            ranges.append([each])
    return ",".join("-".join(map(str, ends)) for ends in ranges)


def _announce(session: Session, cells: Sequence[Cell], progress: Counted, per_round: int) -> None:
    """Have it said how long the runs take, those apart that the resumed run has settled."""
    settled = sum(each.status in ("finished", "diverged") for each in session.runs.values())
    left, many = len(cells) - settled, "s" if len(cells) > 1 else ""
    what = f"{left} of {len(cells)} runs" if settled else f"{left} run{many}"
    advice = "keeps what is done" if session.folder else "prints what is done"
    least = max((min(each.recipe.evaluate_every, each.recipe.rounds) for each in cells), default=0)
    progress.estimate(what, f"Ctrl-C {advice}", per_round * least)


def _train(
    session: Session, cells: Sequence[Cell], observer: Observer, ranks: Ranks | None
) -> None:
    settings, names = session.invocation.resolved.settings, {cell.key: cell for cell in cells}
    saving = None
    if session.folder and hasattr(settings, "checkpoint_every"):
        saving = Saving(session.folder / CHECKPOINTS, settings.checkpoint_every)
    for each in run(
        cells,
        journal=session.journal,
        saving=saving,
        processes=ranks if ranks else getattr(settings, "processes", 1),
        jobs=getattr(settings, "jobs", 1),
        timeout=getattr(settings, "timeout", TIMEOUT_SECONDS),
        restarts=getattr(settings, "restarts", RESTARTS),
        observer=observer,
    ):
        session.add([each])
        if each.status == "diverged":
            session.failures.append(f"{names[each.cell.key]}: {each.error}")


class _Watcher(Observer):
    """Shows progress, and describes runs if the call is verbose."""

    def __init__(
        self, invocation: Invocation, progress: Counted, count: int, per_round: int
    ) -> None:
        self._invocation, self._progress = invocation, progress
        self._count, self._per_round = count, per_round
        self._begun = self._ended = 0
        self._running: dict[str, int] = {}
        self._told = False
        self.watches_rounds = not invocation.quiet

    def began(self, cell: Cell) -> None:
        self._begun += 1
        self._running[cell.key] = 0
        self._progress.begin(f"run {self._begun} of {self._count}, {cell}")

    def round(self, cell: Cell, finished: int) -> None:
        if not self._running[cell.key]:  # the others were done before it was resumed
            self._progress.skip((finished - 1) * self._per_round)
        self._running[cell.key] = finished
        self._update()

    def ended(self, cell: Cell, run: Run) -> None:
        rounds, done = cell.recipe.rounds, int(run.metrics["rounds"])
        if self._running.pop(cell.key, None) is None:  # it was settled before
            self._begun, done = self._begun + 1, 0
        else:
            self._tell_slow_exchange(run)
        self._progress.skip((rounds - done) * self._per_round)
        self._ended += rounds
        self._update()
        if self._invocation.verbose:
            execution = run.execution
            seconds = sum(v for name, v in execution.items() if name.endswith("_seconds"))
            again = f", restarts {execution['restarts']}" if execution.get("restarts") else ""
            self._invocation.note(
                f"{cell}: {run.status}, {run.metrics['rounds']} rounds in {seconds:.2f} s, "
                f"processes {execution['processes']}{again}"
            )

    def _tell_slow_exchange(self, run: Run) -> None:
        """Say, once, that one process would be much faster."""
        note = None if self._told else slow_exchange(run)
        if note:
            self._told = True
            way = "leave out torchrun" if launch() else "give --processes 1"
            self._invocation.note(f"{note}; {way}")

    def _update(self) -> None:
        self._progress.update((self._ended + sum(self._running.values())) * self._per_round)
