"""How messages travel between the processes that host the workers.

Every process runs the same program on its own shard of the workers and meets the others
in one collective operation. A transport does not know what the rows it carries mean.
"""

from __future__ import annotations

import itertools
from typing import Protocol

from torch import Tensor


class Transport(Protocol):
    """One process's end of the connection."""

    workers: range
    """The workers hosted by this process, a contiguous shard."""

    processes: int
    """How many processes take part."""

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """See `regtopk_bench.sparsify.Peers.all_gather`."""
        ...


def shards(workers: int, processes: int) -> list[range]:
    """Split workers 0 … N-1 into contiguous shards whose sizes differ by at most one."""
    bounds = [workers * rank // processes for rank in range(processes + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]
