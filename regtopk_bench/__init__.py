"""Gradient sparsification for distributed training: RegTop-k against Top-k and its rivals.

The public names are imported when they are first used, so that `import regtopk_bench` and
the command line's help do not wait for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regtopk_bench.errors import (
        ConfigurationError,
        InterruptedRun,
        NonFiniteGradientError,
        RegtopkBenchError,
        RunError,
        WorkerDiedError,
    )
    from regtopk_bench.sparsify import (
        Dense,
        Oracle,
        PerLayer,
        RandomK,
        RegTopK,
        SparseGradient,
        Sparsifier,
        TopK,
    )
    from regtopk_bench.training import Checkpoints, RoundInfo, Schedule, Trace, aggregate, simulate
    from regtopk_bench.workloads import LinearRegression, LogisticToy, Workload

_HOME = {
    "Checkpoints": "training",
    "ConfigurationError": "errors",
    "Dense": "sparsify",
    "InterruptedRun": "errors",
    "LinearRegression": "workloads",
    "LogisticToy": "workloads",
    "NonFiniteGradientError": "errors",
    "Oracle": "sparsify",
    "PerLayer": "sparsify",
    "RandomK": "sparsify",
    "RegTopK": "sparsify",
    "RegtopkBenchError": "errors",
    "RoundInfo": "training",
    "RunError": "errors",
    "Schedule": "training",
    "SparseGradient": "sparsify",
    "Sparsifier": "sparsify",
    "TopK": "sparsify",
    "Trace": "training",
    "WorkerDiedError": "errors",
    "Workload": "workloads",
    "aggregate": "training",
    "simulate": "training",
}

__all__ = [
    "Checkpoints",
    "ConfigurationError",
    "Dense",
    "InterruptedRun",
    "LinearRegression",
    "LogisticToy",
    "NonFiniteGradientError",
    "Oracle",
    "PerLayer",
    "RandomK",
    "RegTopK",
    "RegtopkBenchError",
    "RoundInfo",
    "RunError",
    "Schedule",
    "SparseGradient",
    "Sparsifier",
    "TopK",
    "Trace",
    "WorkerDiedError",
    "Workload",
    "aggregate",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
