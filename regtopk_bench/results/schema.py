"""The one result schema of every command, versioned.

A result outlives the tool that wrote it: new optional fields keep the version, anything
else raises it, and a reader rejects versions that it does not know. All values are SI: seconds,
bytes. A value that is not finite is stored as null.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

SCHEMA: Final = "regtopk-bench.result"
VERSION: Final = 2

Scalar = str | bool | int | float | None


def _null_if_not_finite(value: int | float) -> int | float | None:
    return value if math.isfinite(value) else None


def _nan_if_null(value: Any) -> Any:
    return math.nan if value is None else value


def _words_for_infinities(facts: dict[str, Scalar]) -> dict[str, Scalar]:
    """JSON has no infinity, and null would make two different cells equal."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in facts.items()
    }


Number = Annotated[
    int | float,
    BeforeValidator(_nan_if_null),
    PlainSerializer(_null_if_not_finite, return_type=int | float | None),
]
"""A number in a result file, where null stands for any value that is not finite."""

Facts = Annotated[dict[str, Scalar], AfterValidator(_words_for_infinities)]
"""Named scalars that make up a cell; "inf" and "nan" are text."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class TrainingCell(_Model):
    """Everything that determines the numbers of a training run, and nothing else."""

    kind: Literal["training"] = "training"

    problem: Facts
    """The workload, as `workload`, and its parameters."""

    sparsifier: Facts
    """The name, as `algorithm`; each hyper-parameter that is not None; `scope` if not global."""

    recipe: Facts
    """How the sparsified gradients are used: rounds, learning rate, momentum, …"""

    seed: int

    @property
    def algorithm(self) -> str:
        """The algorithm's name."""
        return str(self.sparsifier["algorithm"])

    @property
    def key(self) -> str:
        """Identifies the cell: equal for equal cells, now and in any file."""
        return _digest(self.model_dump())

    @property
    def group(self) -> str:
        """A key shared by cells that differ only in their seed."""
        return _digest(self.model_dump(exclude={"seed"}))

    def __hash__(self) -> int:
        return hash(self.key)


class KernelCell(_Model):
    """What was timed, and on which data."""

    kind: Literal["kernel"] = "kernel"

    problem: Facts
    """The data: distribution, dim, density, dtype, device, threads."""

    candidate: Facts
    """What was timed: operation, implementation, case."""

    @property
    def key(self) -> str:
        """Identifies the cell: equal for equal cells, now and in any file."""
        return _digest(self.model_dump())

    def __hash__(self) -> int:
        return hash(self.key)


def _digest(content: Mapping[str, Any]) -> str:
    """Return 16 hex digits of the SHA-256 of canonical JSON."""
    text = json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    """Return a value in which 4.0 and 4, being equal, are written alike."""
    if isinstance(value, Mapping):
        return {name: _canonical(each) for name, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Setting(_Model):
    """A setting's value and where it came from."""

    value: Any
    source: str


class Run(_Model):
    """One cell of an experiment: what was run, and its outcome."""

    cell: TrainingCell | KernelCell = Field(discriminator="kind")

    status: Literal["finished", "diverged", "failed", "stopped"]
    """A "diverged" run met a gradient that was not finite, and would do so again; a "failed" one
    met any other error; a "stopped" one was interrupted."""

    error: str | None = None
    """What went wrong, for a run that diverged or failed."""

    metrics: dict[str, Number]
    """Final values and totals, deterministic given the cell."""

    traces: dict[str, list[Number]]
    """One value after each round."""

    execution: dict[str, Number]
    """What depends on the machine: seconds by phase, processes, rounds per second."""

    encoding: str | None = None
    """How the bytes of messages are counted, in words."""

    environments: list[dict[str, Scalar]] = Field(default_factory=list)
    """Where it was computed: one environment, or several in order for a resumed run."""


class Header(_Model):
    """What is known about a result before its first run."""

    schema_name: Literal["regtopk-bench.result"] = Field(default=SCHEMA, alias="schema")
    version: Literal[2] = VERSION
    command: str
    created: str
    """UTC, ISO 8601."""
    settings: dict[str, Setting]


class Started(_Model):
    """A line of a journal: a cell began, or was resumed after a checkpoint."""

    started: str
    """The cell's key."""
    resumed_at: int
    """The rounds finished before."""
    environment: dict[str, Scalar]


class Result(Header):
    """Everything that one command measured."""

    runs: list[Run]
