"""How long kernels take, measured in a way that a rival's author would accept."""

from regtopk_bench.timing.available import IMPLEMENTATIONS, runs_on, unavailable
from regtopk_bench.timing.candidates import (
    Candidate,
    Step,
    Timed,
    absence,
    candidate,
    candidates,
    planned,
)
from regtopk_bench.timing.clock import Clock, CpuClock, CudaClock
from regtopk_bench.timing.frozen import FrozenStep
from regtopk_bench.timing.measure import Measurement, measure
from regtopk_bench.timing.problem import DISTRIBUTIONS, KernelData, problem

__all__ = [
    "DISTRIBUTIONS",
    "IMPLEMENTATIONS",
    "Candidate",
    "Clock",
    "CpuClock",
    "CudaClock",
    "FrozenStep",
    "KernelData",
    "Measurement",
    "Step",
    "Timed",
    "absence",
    "candidate",
    "candidates",
    "measure",
    "planned",
    "problem",
    "runs_on",
    "unavailable",
]
