"""Results: their schema, their files on disk, and their statistics over seeds."""

from regtopk_bench.results.schema import (
    CHECK,
    LIBRARY,
    SCHEMA,
    VERSION,
    Header,
    KernelCell,
    Result,
    Run,
    Setting,
    TrainingCell,
)
from regtopk_bench.results.values import Scalar

__all__ = [
    "CHECK",
    "LIBRARY",
    "SCHEMA",
    "VERSION",
    "Header",
    "KernelCell",
    "Result",
    "Run",
    "Scalar",
    "Setting",
    "TrainingCell",
]
