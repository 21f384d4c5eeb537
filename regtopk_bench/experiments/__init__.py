"""Experiments: from cells to runs, in one process or several, without printing."""

from regtopk_bench.experiments.cell import Cell
from regtopk_bench.experiments.observer import Observer
from regtopk_bench.experiments.outcome import Saving
from regtopk_bench.experiments.problems import (
    ImageProblem,
    Instance,
    Problem,
    RegressionProblem,
    ToyProblem,
)
from regtopk_bench.experiments.run import run

__all__ = [
    "Cell",
    "ImageProblem",
    "Instance",
    "Observer",
    "Problem",
    "RegressionProblem",
    "Saving",
    "ToyProblem",
    "run",
]
