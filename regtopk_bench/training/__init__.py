"""The training loop, and the trace that it leaves."""

from regtopk_bench.training.checkpoint import Checkpoints
from regtopk_bench.training.encoding import Encoding
from regtopk_bench.training.exchange import aggregate
from regtopk_bench.training.loop import RoundInfo, simulate
from regtopk_bench.training.schedule import Schedule
from regtopk_bench.training.trace import PHASES, BytesSent, Trace

__all__ = [
    "PHASES",
    "BytesSent",
    "Checkpoints",
    "Encoding",
    "RoundInfo",
    "Schedule",
    "Trace",
    "aggregate",
    "simulate",
]
