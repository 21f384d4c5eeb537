"""Results: their schema, their files on disk, and their statistics over seeds."""

from regtopk_bench.results.schema import (
    SCHEMA,
    VERSION,
    Header,
    KernelCell,
    Result,
    Run,
    Scalar,
    Setting,
    TrainingCell,
)

__all__ = [
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
