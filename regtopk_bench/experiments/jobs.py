"""Several cells at a time, each in its own process with one thread."""

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


@dataclass
class Jobs:
    """Runs up to `count` cells at a time."""

    count: int
    saving: Saving | None
    _waiting: dict[Future[Outcome], Cell] = field(default_factory=dict)
    _stopping: Any = None

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
        self._stopping = context.RawValue("b", 0)
        known = (list(cells), self.saving, self._stopping)
        left, interrupted = iter(range(len(cells))), False
        with ProcessPoolExecutor(self.count, context, _prepare, known) as pool:
            try:
                while self._fill(pool, cells, left, began, observer):
                    try:
                        ended, _ = wait(self._waiting, return_when=FIRST_COMPLETED)
                    except KeyboardInterrupt:
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
            self._stopping.value = 1

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
            self._waiting[pool.submit(_run, number, began(cell))] = cell
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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _process = _Process(cells, saving, stopping)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _run(number: int, environments: Environments) -> Outcome:
    cell = _process.cells[number]
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
