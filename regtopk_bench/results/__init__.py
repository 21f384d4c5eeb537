"""Results: their schema, their place on disk, and what they say over seeds."""

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
