"""How messages travel between workers: within a process, through a pool of them, or
between the ranks that torchrun has started."""

from regtopk_bench.transport.base import TIMEOUT_SECONDS, Transport, shards
from regtopk_bench.transport.local import LocalTransport
from regtopk_bench.transport.pool import open_pool
from regtopk_bench.transport.process_group import Ranks, joined

__all__ = [
    "TIMEOUT_SECONDS",
    "LocalTransport",
    "Ranks",
    "Transport",
    "joined",
    "open_pool",
    "shards",
]
