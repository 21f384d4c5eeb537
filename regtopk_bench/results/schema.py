"""The one result schema of every command, versioned.

A result outlives the tool that wrote it: new optional fields keep the version, anything
else raises it, and a reader refuses versions that it does not know. All values are SI: seconds,
bytes. A value that is not finite is stored as null.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

SCHEMA: Final = "regtopk-bench.result"
VERSION: Final = 1

Scalar = str | bool | int | float | None


def _null_if_not_finite(value: int | float) -> int | float | None:
    return value if math.isfinite(value) else None


def _nan_if_null(value: Any) -> Any:
    return math.nan if value is None else value


Number = Annotated[
    int | float,
    BeforeValidator(_nan_if_null),
    PlainSerializer(_null_if_not_finite, return_type=int | float | None),
]
"""A number in a result file, where null stands for what is not finite."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Setting(_Model):
    """A setting's value and where it came from."""

    value: Any
    source: str


class Run(_Model):
    """One cell of an experiment: what was run, and what came out."""

    cell: dict[str, Scalar]
    """The configuration of this run and its seed; two runs with equal cells are repeats."""

    status: Literal["finished", "failed", "stopped"]
    error: str | None = None
    """What went wrong, for a failed run."""

    metrics: dict[str, Number]
    """Final values and totals, deterministic given the cell."""

    traces: dict[str, list[Number]]
    """One value after each round."""

    execution: dict[str, Number]
    """What depends on the machine: seconds by phase, processes, rounds per second."""


class Result(_Model):
    """Everything that one command measured."""

    schema_name: Literal["regtopk-bench.result"] = Field(default=SCHEMA, alias="schema")
    version: Literal[1] = VERSION
    command: str
    created: str
    """UTC, ISO 8601."""
    settings: dict[str, Setting]
    environment: dict[str, Scalar]
    runs: list[Run]

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)
