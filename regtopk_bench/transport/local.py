"""All workers in one process: messages need not travel."""

from __future__ import annotations

from torch import Tensor


class LocalTransport:
    """The transport of a run in a single process."""

    processes = 1

    def __init__(self, workers: int) -> None:
        """Host all the workers here."""
        self.workers = range(workers)

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Return the rows given: every worker is here."""
        return rows
