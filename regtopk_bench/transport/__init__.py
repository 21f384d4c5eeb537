"""How messages travel between workers: within a process, or through a pool of them."""

from regtopk_bench.transport.base import TIMEOUT_SECONDS, Transport, shards
from regtopk_bench.transport.local import LocalTransport
from regtopk_bench.transport.pool import open_pool

__all__ = ["TIMEOUT_SECONDS", "LocalTransport", "Transport", "open_pool", "shards"]
