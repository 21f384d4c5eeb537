"""Results: their schema, their place on disk, and what they say over seeds."""

from regtopk_bench.results.schema import SCHEMA, VERSION, Result, Run, Scalar, Setting

__all__ = ["SCHEMA", "VERSION", "Result", "Run", "Scalar", "Setting"]
