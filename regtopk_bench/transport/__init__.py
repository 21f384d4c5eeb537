"""How messages travel between workers: in a process, a pool of them, or ranks of torchrun."""

from regtopk_bench.transport.base import TIMEOUT_SECONDS, Transport, shards
from regtopk_bench.transport.local import LocalTransport
from regtopk_bench.transport.pool import open_pool
from regtopk_bench.transport.ranks import Ranks, joined

__all__ = [
    "TIMEOUT_SECONDS",
    "LocalTransport",
    "Ranks",
    "Transport",
    "joined",
    "open_pool",
    "shards",
]
