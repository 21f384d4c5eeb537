"""What a journal records of cells besides their runs, a line each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from regtopk_bench.results.schema import Run
from regtopk_bench.results.values import Model, Scalar


class Started(Model):
    """A cell began, or was resumed after a checkpoint."""

    started: str
    """The cell's key."""
    resumed_at: int
    """The rounds finished before."""
    environment: dict[str, Scalar]


class Base(Model):
    """A run of the code that a check compares with."""

    base: Run
    nudged: dict[str, float] = Field(default_factory=dict)
    """How much each metric changed with nudged initial parameters, where bits may differ."""


class Pair(Model):
    """Log ratios of times, by key, of a pair of processes."""

    pair: dict[str, Annotated[float, Field(allow_inf_nan=False)]]
