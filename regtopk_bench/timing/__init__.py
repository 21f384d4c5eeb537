"""How long kernels take, measured in a way that a rival's author would accept."""

from regtopk_bench.timing.candidates import IMPLEMENTATIONS, Candidate, candidates
from regtopk_bench.timing.clock import Clock, CpuClock, CudaClock
from regtopk_bench.timing.measure import Measurement, measure
from regtopk_bench.timing.problem import DISTRIBUTIONS, KernelData, problem

__all__ = [
    "DISTRIBUTIONS",
    "IMPLEMENTATIONS",
    "Candidate",
    "Clock",
    "CpuClock",
    "CudaClock",
    "KernelData",
    "Measurement",
    "candidates",
    "measure",
    "problem",
]
