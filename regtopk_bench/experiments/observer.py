"""How an experiment reports its progress."""

from __future__ import annotations

from regtopk_bench.experiments.cell import Cell
from regtopk_bench.results import Run


class Observer:
    """Is notified about every cell and does nothing; subclasses override its methods."""

    watches_rounds: bool = False
    """Whether to call `round`: after every round of cells that are run in this process, and from
    time to time for those run in others."""

    def began(self, cell: Cell) -> None:
        """Note that a cell starts."""

    def round(self, cell: Cell, finished: int) -> None:
        """Note that a cell has finished this many rounds."""

    def ended(self, cell: Cell, run: Run) -> None:
        """Note a cell's run, whether it has just ended or was settled before."""
