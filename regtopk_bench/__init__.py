"""Gradient sparsification for distributed training: RegTop-k against Top-k and its rivals.

Public names are imported on first use: neither `import regtopk_bench` nor the command line's
help waits for PyTorch.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know: the command line waits for nothing it can do without
if TYPE_CHECKING:
    from typing import Any

    from regtopk_bench.errors import (
        ConfigurationError,
        InterruptedRun,
        NonFiniteGradientError,
        RegtopkBenchError,
        RestartWarning,
        RunError,
        WorkerDiedError,
    )
    from regtopk_bench.experiments.seeds import simulate_seeds
    from regtopk_bench.messages import DenseGradient, Message, SparseGradient, aggregate
    from regtopk_bench.report.compared import compare
    from regtopk_bench.results import Result, Run
    from regtopk_bench.results.store import load, save
    from regtopk_bench.sparsify import (
        Dense,
        Oracle,
        PerLayer,
        Placement,
        RandomK,
        RegTopK,
        Sparsifier,
        TopK,
    )
    from regtopk_bench.trace import Trace
    from regtopk_bench.training import Checkpoints, RoundInfo, Schedule, simulate
    from regtopk_bench.workloads import LinearRegression, LogisticToy, Workload
    from regtopk_bench.workloads.model import ModelWorkload, accuracy

_HOME = {
    "Checkpoints": "training",
    "ConfigurationError": "errors",
    "Dense": "sparsify",
    "DenseGradient": "messages",
    "InterruptedRun": "errors",
    "LinearRegression": "workloads",
    "LogisticToy": "workloads",
    "Message": "messages",
    "ModelWorkload": "workloads.model",
    "NonFiniteGradientError": "errors",
    "Oracle": "sparsify",
    "PerLayer": "sparsify",
    "Placement": "sparsify",
    "RandomK": "sparsify",
    "RegTopK": "sparsify",
    "RegtopkBenchError": "errors",
    "RestartWarning": "errors",
    "Result": "results",
    "RoundInfo": "training",
    "Run": "results",
    "RunError": "errors",
    "Schedule": "training",
    "SparseGradient": "messages",
    "Sparsifier": "sparsify",
    "TopK": "sparsify",
    "Trace": "trace",
    "WorkerDiedError": "errors",
    "Workload": "workloads",
    "accuracy": "workloads.model",
    "aggregate": "messages",
    "compare": "report.compared",
    "load": "results.store",
    "save": "results.store",
    "simulate": "training",
    "simulate_seeds": "experiments.seeds",
}

__all__ = [
    "Checkpoints",
    "ConfigurationError",
    "Dense",
    "DenseGradient",
    "InterruptedRun",
    "LinearRegression",
    "LogisticToy",
    "Message",
    "ModelWorkload",
    "NonFiniteGradientError",
    "Oracle",
    "PerLayer",
    "Placement",
    "RandomK",
    "RegTopK",
    "RegtopkBenchError",
    "RestartWarning",
    "Result",
    "RoundInfo",
    "Run",
    "RunError",
    "Schedule",
    "SparseGradient",
    "Sparsifier",
    "TopK",
    "Trace",
    "WorkerDiedError",
    "Workload",
    "__version__",
    "accuracy",
    "aggregate",
    "compare",
    "load",
    "save",
    "simulate",
    "simulate_seeds",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("regtopk-bench")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
