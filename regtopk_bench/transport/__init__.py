"""How messages travel between workers: within a process, or through a pool of them."""

from regtopk_bench.transport.base import Transport, shards
from regtopk_bench.transport.local import LocalTransport
from regtopk_bench.transport.pool import open_pool

__all__ = ["LocalTransport", "Transport", "open_pool", "shards"]
