"""How messages travel between the processes that host the workers.

Every process runs the same program on its own shard of the workers and meets the others
in one collective operation. A transport does not know what the rows it carries mean.
"""

from __future__ import annotations

import itertools
from typing import Protocol

from torch import Tensor

TIMEOUT_SECONDS = 600.0
"""How long a process may keep the others waiting, unless a caller says otherwise."""


class Transport(Protocol):
    """One process's end of the connection."""

    workers: range
    """The workers hosted by this process, a contiguous shard."""

    processes: int
    """How many processes take part."""

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Send the rows of the workers hosted here, and receive those of all N workers.

        Every process calls it, with the same number of tensors, of the same data types and
        shapes except for the number of workers and the second dimension. Where processes differ
        in the latter, 0 included, shorter rows are padded with zeros to the longest.

        Args:
            *rows: Tensors (n, …), a row for each of the n workers hosted here, in their order.

        Returns:
            Of each tensor the rows of all workers, (N, …), in worker order and with the same
            bits in every process. They may be views of memory that the transport reuses:
            read-only, and valid until the next call returns.

        Raises:
            RunError: In every process and with the same text, if their tensors differ in anything
                else; in the process concerned, if its tensors are too long or too many for the
                transport, or do not have one row for each worker hosted there.
            Exception: In the process that opened the pool, what another process raised.
            WorkerDiedError: There too, if another process died and none raised.
        """
        ...


def shards(workers: int, processes: int) -> list[range]:
    """Split workers 0 … N-1 into contiguous shards whose sizes differ by at most one."""
    bounds = [workers * rank // processes for rank in range(processes + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]
