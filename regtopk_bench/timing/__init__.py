"""How long kernels take, measured so that the author of a rival would accept it."""

from regtopk_bench.timing.clock import Clock, CpuClock, CudaClock
from regtopk_bench.timing.contenders import IMPLEMENTATIONS, Contender, contenders
from regtopk_bench.timing.measure import Measurement, measure
from regtopk_bench.timing.problem import DISTRIBUTIONS, Problem, problem

__all__ = [
    "DISTRIBUTIONS",
    "IMPLEMENTATIONS",
    "Clock",
    "Contender",
    "CpuClock",
    "CudaClock",
    "Measurement",
    "Problem",
    "contenders",
    "measure",
    "problem",
]
