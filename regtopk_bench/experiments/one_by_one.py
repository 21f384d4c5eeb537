"""One cell after another, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from regtopk_bench.experiments.cell import Cell
from regtopk_bench.experiments.observer import Observer
from regtopk_bench.experiments.outcome import Environments, Outcome, Saving, Workshop, run_cell
from regtopk_bench.training import RoundInfo
from regtopk_bench.transport import Ranks


class OneByOne:
    """Runs cells in turn; each may have several processes for its workers."""

    def __init__(
        self, processes: int | str | Ranks, saving: Saving | None, timeout: float, restarts: int
    ) -> None:
        """Use this many processes for each cell; see `simulate` for their timeout and restarts."""
        self._processes, self._saving = processes, saving
        self._timeout, self._restarts = timeout, restarts
        self._stopping = False

    def stop(self) -> None:
        """Start no further cell."""
        self._stopping = True

    def run(
        self,
        cells: Sequence[Cell],
        began: Callable[[Cell], Environments],
        observer: Observer,
    ) -> Iterator[tuple[Cell, Outcome]]:
        """Yield each cell with its outcome.

        Args:
            cells: What to run.
            began: Called when a cell is about to start; returns its environments.
            observer: Told when a cell starts and, if it watches rounds, after each.
        """
        workshop = Workshop()
        for cell in cells:
            if self._stopping:
                return
            observer.began(cell)
            outcome = run_cell(
                cell,
                workshop.instance(cell),
                processes=self._processes,
                saving=self._saving,
                timeout=self._timeout,
                restarts=self._restarts,
                on_round=_teller(observer, cell) if observer.watches_rounds else None,
                environments=began(cell),
            )
            yield cell, outcome


def _teller(observer: Observer, cell: Cell) -> Callable[[RoundInfo], None]:
    def tell(info: RoundInfo) -> None:
        observer.round(cell, info.round)

    return tell
