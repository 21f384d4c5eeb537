"""What an experiment tells whoever watches it."""

from __future__ import annotations

from regtopk_bench.experiments.cell import Cell
from regtopk_bench.results import Run


class Observer:
    """Is told of every cell; does nothing with it. Subclasses do."""

    watches_rounds: bool = False
    """Whether to call `round`, after every round of cells that are run in this process."""

    def began(self, cell: Cell) -> None:
        """Learn that a cell is being run now."""

    def round(self, cell: Cell, finished: int) -> None:
        """Learn that a cell has finished so many rounds."""

    def ended(self, cell: Cell, run: Run) -> None:
        """Learn what came out of a cell, or had come out before."""
