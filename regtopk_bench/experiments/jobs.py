"""Several cells at a time, each in its own process, where training has one thread."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection as connections
from multiprocessing.connection import Connection
from typing import Any

from regtopk_bench import kernels
from regtopk_bench.errors import RunError, WorkerDiedError
from regtopk_bench.experiments.cell import Cell
from regtopk_bench.experiments.observer import Observer
from regtopk_bench.experiments.outcome import Environments, Outcome, Saving, Workshop, run_cell
from regtopk_bench.extras import installed
from regtopk_bench.training import Restarts, RoundInfo
from regtopk_bench.transport.children import POLL_SECONDS, Child, Launcher, picklable

_NEWS_SECONDS = 0.5
"""How often a process tells how far it is, and looks whether it is to stop."""

_STOP = "stop"
_ADVICE = "resume the run, or give fewer --jobs"


class Jobs:
    """Runs up to `count` cells at a time."""

    def __init__(self, count: int, saving: Saving | None, timeout: float, restarts: int) -> None:
        """Prepare to run cells.

        Args:
            count: How many at a time.
            saving: Their checkpoints.
            timeout: How many seconds a process may take for a round.
            restarts: How often a cell is started again whose process was lost.
        """
        self._count, self._saving, self._timeout = count, saving, timeout
        self._allowed = restarts
        self._jobs: list[_Job] = []
        self._cells: Sequence[Cell] = ()
        self._left: deque[int] = deque()
        self._restarts: dict[int, Restarts] = {}
        self._stopping = False

    def run(
        self,
        cells: Sequence[Cell],
        began: Callable[[Cell], Environments],
        observer: Observer,
    ) -> Iterator[tuple[Cell, Outcome]]:
        """Yield cells with their outcomes, in the order in which they end.

        A cell whose process was lost is started again, from its last checkpoint if it has one.
        On Ctrl-C, and if a cell cannot be started, running cells stop after their current round,
        and their outcomes are yielded.

        Args:
            cells: What to run.
            began: Called when a cell is about to start; returns its environments.
            observer: Told when a cell starts and, if it watches rounds, now and then how many are
                finished.

        Raises:
            KeyboardInterrupt: On Ctrl-C, at the end; if pressed twice, at once.
            RunError: If a cell could not be started, at the end.
        """
        if not installed("numba"):
            kernels.implementation("numba")  # warns, once: the processes that run cells do not
        task = functools.partial(_run_cells, cells, self._saving)
        launcher = Launcher(task, self._timeout, _ADVICE)
        self._cells, self._left, stopped_by = cells, deque(range(len(cells))), None
        try:
            while True:
                try:
                    if not self._fill(launcher, began, observer):
                        break
                    ended = self._ended(observer)
                except (KeyboardInterrupt, RunError) as error:
                    if stopped_by:  # whoever asks twice does not wait for a round
                        raise
                    stopped_by = error
                    self.stop()
                    continue
                for number, outcome in ended:
                    yield cells[number], self._counted(number, outcome)
            if stopped_by:
                raise stopped_by
        finally:
            for job in self._jobs:
                job.child.end(0.0)

    def stop(self) -> None:
        """Stop running cells after their current round, and start no others."""
        if not self._stopping:
            self._stopping = True
            for job in self._busy:
                job.tell(_STOP)

    @property
    def _busy(self) -> list[_Job]:
        return [job for job in self._jobs if job.number is not None]

    def _fill(
        self, launcher: Launcher, began: Callable[[Cell], Environments], observer: Observer
    ) -> bool:
        """Start cells while processes are free or to be had; tell whether any are running."""
        while not self._stopping and len(self._busy) < self._count and self._left:
            number = self._left.popleft()
            cell = self._cells[number]
            if number not in self._restarts:
                self._restarts[number] = Restarts(self._allowed)
                observer.began(cell)
            try:
                job = self._idle(launcher)
            except WorkerDiedError as error:
                if not self._starts_again(number, error):
                    raise
                continue
            job.begin(number, began(cell))
        return bool(self._busy)

    def _idle(self, launcher: Launcher) -> _Job:
        """Return a process that runs no cell, started if there is none."""
        for job in self._jobs:
            if job.number is None:
                return job
        place = min(set(range(1, self._count + 1)) - {job.place for job in self._jobs})
        who = f"process {place} of {self._count} that run cells"
        self._jobs.append(_Job(launcher.start(place, who), place))
        return self._jobs[-1]

    def _starts_again(self, number: int, error: BaseException | None) -> bool:
        """Tell whether a cell that has ended is started again, and see to it."""
        cell = self._cells[number]
        finished = self._saving.resumed_at(cell) if self._saving else 0
        again = not self._stopping and self._restarts[number].another(error, str(cell), finished)
        if again:
            self._left.appendleft(number)
        return again

    def _counted(self, number: int, outcome: Outcome) -> Outcome:
        """Add how often a cell was started again to its run."""
        if outcome.run is None:
            return outcome
        execution = outcome.run.execution | {"restarts": self._restarts[number].made}
        return replace(outcome, run=outcome.run.model_copy(update={"execution": execution}))

    def _ended(self, observer: Observer) -> list[tuple[int, Outcome]]:
        """Wait for news, and pass it on; return the cells that have ended, with their outcomes."""
        began = time.monotonic()
        heard = connections.wait([job.child.connection for job in self._busy], POLL_SECONDS)
        waited = min(time.monotonic() - began, POLL_SECONDS)  # not while this process is stopped
        ended = []
        for job in self._busy:
            outcome, number = None, job.number
            assert number is not None
            if job.child.connection in heard:
                job.waited, news = 0.0, job.hear()
                if isinstance(news, Outcome):
                    outcome = news
                elif news and observer.watches_rounds:
                    observer.round(self._cells[number], news)
            else:
                job.waited += waited
                if job.waited >= self._timeout:
                    job.alive, outcome = False, Outcome(None, job.child.silence(self._timeout))
            if outcome:
                job.number = None
                if not job.alive:
                    job.child.end(0.0)
                    self._jobs.remove(job)
                if not self._starts_again(number, outcome.error):
                    ended.append((number, outcome))
        return ended


@dataclass
class _Job:
    """A process that runs one cell after another."""

    child: Child
    place: int
    """Which of the processes it is, from 1."""
    number: int | None = None
    """Which cell it runs, if any."""
    waited: float = 0.0
    """For how many seconds nothing was heard of it."""
    alive: bool = True
    """Whether it can run another cell."""

    def begin(self, number: int, environments: Environments) -> None:
        """Have it run a cell."""
        self.number, self.waited = number, 0.0
        self.tell((number, environments))

    def tell(self, what: Any) -> None:
        """Send it something; that it has died is heard soon enough."""
        try:
            self.child.connection.send(what)
        except OSError:
            self.alive = False

    def hear(self) -> Outcome | int | None:
        """Receive what it has to say: the outcome of its cell, or the rounds finished, if any."""
        try:
            said = self.child.connection.recv()
        except (EOFError, OSError):
            self.alive = False
            return Outcome(None, self.child.death())
        if isinstance(said, Exception):  # it cannot read its task
            self.alive = False
            return Outcome(None, said)
        assert isinstance(said, Outcome | int | None)
        return said


def _run_cells(
    cells: Sequence[Cell], saving: Saving | None, number: int, connection: Connection
) -> None:
    """Run the cells whose numbers arrive, until the connection ends."""
    workshop = Workshop()
    while (wanted := _next(connection)) != _STOP:
        cell_number, environments = wanted
        cell = cells[cell_number]
        try:
            outcome = run_cell(
                cell,
                workshop.instance(cell),
                processes=1,
                saving=saving,
                on_round=_Reporter(connection),
                environments=environments,
            )
        except Exception as error:
            outcome = Outcome(None, picklable(error))
        connection.send(outcome)


def _next(connection: Connection) -> Any:
    try:
        return connection.recv()
    except EOFError:
        return _STOP


class _Reporter:
    """Tells from time to time that rounds are being finished, and asks whether to stop."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._next = connection, 0.0

    def __call__(self, info: RoundInfo) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _NEWS_SECONDS
        self._connection.send(info.round)
        return self._connection.poll()
