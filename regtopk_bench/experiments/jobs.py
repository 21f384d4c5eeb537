"""Several cells at a time, each in its own process, where training has one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any

import torch.multiprocessing

from regtopk_bench.errors import RunError
from regtopk_bench.experiments.cell import Cell
from regtopk_bench.experiments.observer import Observer
from regtopk_bench.experiments.outcome import Environments, Outcome, Saving, Workshop, run_cell
from regtopk_bench.training import RoundInfo

_AFTER_THE_ROUND, _AT_ONCE = 1, 2
"""When cells under way are to stop; 0 for not at all."""

_LOOK_SECONDS = 0.5


@dataclass
class Jobs:
    """Runs up to `count` cells at a time."""

    count: int
    saving: Saving | None
    _waiting: dict[Future[Outcome], Cell] = field(default_factory=dict, init=False)
    _stopping: Any = field(default=None, init=False)

    def run(
        self,
        cells: Sequence[Cell],
        began: Callable[[Cell], Environments],
        observer: Observer,
    ) -> Iterator[tuple[Cell, Outcome]]:
        """Yield cells with their outcomes, in the order in which they end.

        On Ctrl-C, running cells stop after their current round, and their outcomes are yielded.

        Args:
            cells: What to run.
            began: Called when a cell is about to start; returns its environments.
            observer: Told when a cell starts.
        """
        method = (
            "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        )
        context: Any = torch.multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload([__name__])
        self._stopping = context.RawValue("b", 0)
        known = (list(cells), self.saving, self._stopping)
        left, interrupted = iter(range(len(cells))), False
        with ProcessPoolExecutor(self.count, context, _prepare, known) as pool:
            try:
                while self._fill(pool, cells, left, began, observer):
                    try:
                        ended, _ = wait(self._waiting, return_when=FIRST_COMPLETED)
                    except KeyboardInterrupt:
                        if interrupted:  # whoever asks twice does not wait for a round
                            self._stopping.value = _AT_ONCE
                            break
                        interrupted = True
                        self.stop()
                        continue
                    for future in ended:
                        yield self._waiting.pop(future), self._outcome(future)
            finally:
                self.stop()
        if interrupted:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Stop running cells after their current round, and start no others."""
        if self._stopping is not None:
            self._stopping.value = max(self._stopping.value, _AFTER_THE_ROUND)

    def _fill(
        self,
        pool: ProcessPoolExecutor,
        cells: Sequence[Cell],
        left: Iterator[int],
        began: Callable[[Cell], Environments],
        observer: Observer,
    ) -> bool:
        """Start cells while processes are free; tell whether any are running."""
        while (
            not self._stopping.value
            and len(self._waiting) < self.count
            and (number := next(left, None)) is not None
        ):
            cell = cells[number]
            observer.began(cell)
            try:
                future = pool.submit(_run, number, began(cell))
            except BrokenProcessPool as error:  # one died between two cells
                future = Future()
                future.set_exception(error)
            self._waiting[future] = cell
        return bool(self._waiting)

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        try:
            return future.result()
        except BrokenProcessPool:
            return Outcome(
                None,
                RunError(
                    f"one of the {self.count} processes that ran cells died: resume the run, or "
                    "give fewer --jobs"
                ),
            )
        except Exception as error:
            return Outcome(None, error)


@dataclass
class _Process:
    """The state of a pool process."""

    cells: Sequence[Cell]
    saving: Saving | None
    stopping: Any
    workshop: Workshop = field(default_factory=Workshop)


_process: _Process


def _prepare(cells: Sequence[Cell], saving: Saving | None, stopping: Any) -> None:
    """Set up a process: it leaves Ctrl-C to its parent, and ends when the parent does."""
    global _process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _process = _Process(cells, saving, stopping)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    while not connection.wait([parent.sentinel], _LOOK_SECONDS):
        if _process.stopping.value == _AT_ONCE:
            break
    os._exit(1)


def _run(number: int, environments: Environments) -> Outcome:
    cell = _process.cells[number]
    if _process.stopping.value:
        return Outcome(None)
    return run_cell(
        cell,
        _process.workshop.instance(cell),
        processes=1,
        saving=_process.saving,
        on_round=_asked_to_stop,
        environments=environments,
    )


def _asked_to_stop(info: RoundInfo) -> bool:
    return bool(_process.stopping.value)
