"""The one result schema of every command, versioned.

A result outlives the tool that wrote it: new optional fields keep the version, anything
else raises it, and a reader rejects versions that it does not know. All values are SI: seconds,
bytes. A value that is not finite is stored as null.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from regtopk_bench.notebook import MOST, data_frame, flat, html_facts, html_table, short
from regtopk_bench.results.values import Facts, Model, Number, Numbers, Scalar
from regtopk_bench.results.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

SCHEMA: Final = "regtopk-bench.result"
VERSION: Final = 2

CHECK: Final = "check"
LIBRARY: Final = "library"
"""Commands: one whose results hold runs of several workloads, and verdicts; a user's program."""

BYTES: Final = ("uplink_bytes", "downlink_bytes", "coordination_bytes")
"""Counted in every round of training: a trace of each, and its total among the metrics."""


def _with(*, texts: tuple[str, ...], counts: tuple[str, ...] = ()) -> AfterValidator:
    """Check that facts have a text, or a count from 1 up, under each of these names."""

    def check(facts: dict[str, Scalar]) -> dict[str, Scalar]:
        for name in texts:
            if not isinstance(facts.get(name), str):
                raise ValueError(f"{name} is {facts.get(name)!r}, and must be text")
        for name in counts:
            _count(facts, name, 1)
        return facts

    return AfterValidator(check)


def _count(values: Mapping[str, Any], name: str, least: int = 0) -> int:
    """Return a whole number; raise ValueError if it is missing, of another kind or too small."""
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}, and must be a whole number from {least} up")
    return value


class TrainingCell(Model):
    """Everything that determines the numbers of a training run, and nothing else."""

    kind: Literal["training"] = "training"

    problem: Annotated[Facts, _with(texts=("workload",))]
    """The workload, as `workload`, and its parameters."""

    sparsifier: Annotated[Facts, _with(texts=("algorithm",))]
    """The name, as `algorithm`; each hyper-parameter that is not None; `scope` if not global."""

    recipe: Facts
    """How the sparsified gradients are used: rounds, learning rate, momentum, …"""

    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)]

    @property
    def algorithm(self) -> str:
        """The algorithm's name."""
        return str(self.sparsifier["algorithm"])

    @property
    def which(self) -> dict[str, Scalar]:
        """What usually tells it from other cells, in short."""
        return {**self.sparsifier, "seed": self.seed}

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


class KernelCell(Model):
    """What was timed, and on which data."""

    kind: Literal["kernel"] = "kernel"

    problem: Annotated[Facts, _with(texts=("distribution", "dtype", "device"), counts=("dim",))]
    """The data: distribution, dim, density, dtype, device, threads."""

    candidate: Annotated[Facts, _with(texts=("operation", "implementation", "case"))]
    """What was timed: operation, implementation, case."""

    @property
    def which(self) -> dict[str, Scalar]:
        """What usually tells it from other cells, in short."""
        data = {name: self.problem.get(name) for name in ("distribution", "dim", "density")}
        return {**self.candidate, **data}

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


class Setting(Model):
    """A setting's value and where it came from."""

    value: Any
    source: str


class Run(Model):
    """One cell of an experiment: what was run, and its outcome."""

    cell: TrainingCell | KernelCell = Field(discriminator="kind")

    status: Literal["finished", "diverged", "failed", "stopped"]
    """A "diverged" run met a gradient that was not finite, and would do so again; a "failed" one
    met any other error; a "stopped" one was interrupted."""

    error: str | None = None
    """What went wrong, for a run that diverged or failed."""

    metrics: dict[str, Number]
    """Final values and totals, deterministic given the cell."""

    traces: dict[str, Numbers]
    """One value after each round."""

    execution: dict[str, Number]
    """What depends on the machine: seconds by phase, processes, restarts, rounds per second."""

    encoding: str | None = None
    """How the bytes of messages are counted, in words."""

    summed_bytes: Annotated[int, Field(strict=True, ge=0)] | None = None
    """The bytes of a sum of messages that can take their place on the way, as all workers send the
    same entries; null where every message has to reach every worker."""

    digests: dict[str, str] = Field(default_factory=dict)
    """Of what is too large to be kept, as the entries selected in all rounds: hexadecimal."""

    environments: list[dict[str, Scalar]] = Field(default_factory=list)
    """Where it was computed: one environment, or several in order for a resumed run."""

    @model_validator(mode="after")
    def _adds_up(self) -> Run:
        """Hold counts, metrics and traces to each other: what was lost or changed shows."""
        if isinstance(self.cell, TrainingCell):
            _check_training(self, self.cell)
        else:
            _check_timing(self)
        return self

    @property
    def final(self) -> dict[str, float]:
        """The last value of each metric that was recorded round by round."""
        recorded = (name for name in self.traces if name not in BYTES)
        return {name: self.metrics[name] for name in recorded if name in self.metrics}

    @property
    def facts(self) -> dict[str, Scalar]:
        """The facts of its cell, its status and its metrics, on one level.

        `rounds` are those that were finished. A hyper-parameter of a sparsifier that is called
        like a fact of the problem or the recipe has "sparsifier_" before its name.
        """
        parts = dict(self.cell)
        chosen = parts.pop("sparsifier", {})
        found = flat({**parts, "sparsifier": chosen})
        first = {name: found[name] for name in self.cell.which if name in found}
        return {**first, **found, "status": self.status, **self.metrics}

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each round, or each repeat, and what was recorded.

        Raises:
            MissingPackageError: If pandas is not installed.
        """
        return data_frame(self.traces, "round" if self.cell.kind == "training" else "repeat")

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """Name the cell and say how it ended, in a line."""
        yield from {**self.cell.which, "status": self.status}.items()
        yield from ((name, short(value)) for name, value in islice(self.final.items(), MOST))

    def _repr_html_(self) -> str:
        """Return a small table."""
        last = dict(islice(self.metrics.items(), 2 * MOST))
        return html_facts({**self.cell.which, "status": self.status, **last})


def _check_training(run: Run, cell: TrainingCell) -> None:
    metrics, traces = run.metrics, run.traces
    rounds, workers = _count(metrics, "rounds"), _count(metrics, "workers", 1)
    _count(metrics, "parameters", 1)
    if cell.problem.get("workers", workers) != workers:
        raise ValueError(f"{workers} workers, and the problem has {cell.problem['workers']}")
    wanted = _count(cell.recipe, "rounds")
    if rounds > wanted or (rounds < wanted and run.status == "finished"):
        raise ValueError(f"{run.status} after {rounds} rounds, and the recipe has {wanted}")
    for name in BYTES:
        if name not in traces:
            raise ValueError(f"there is no trace of {name}")
    for name, trace in traces.items():
        if len(trace) != rounds:
            raise ValueError(f"{name} has {len(trace)} values after {rounds} rounds")
        if rounds or name in BYTES:
            expected = sum(trace) if name in BYTES else trace[-1]
            found = metrics.get(name, "missing")
            if found != expected and str(found) != str(expected):  # NaN, which equals nothing
                raise ValueError(f"{name} comes to {expected}, and the metric is {found}")


def _check_timing(run: Run) -> None:
    for name in ("moved_bytes", "memory_limit_bytes"):
        _count(run.metrics, name)
    for name in ("rounds", "misses"):
        _count(run.execution, name)
    for name in ("seconds", "memory_limit_seconds"):
        if name not in run.traces:
            raise ValueError(f"there is no trace of {name}")
    for name, trace in run.traces.items():
        if any(seconds < 0.0 for seconds in trace):
            raise ValueError(f"{name} has a time below 0")
        if all(math.isnan(seconds) for seconds in trace):
            raise ValueError(f"{name} has no time at all")
    lengths = {name: len(trace) for name, trace in run.traces.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"traces differ in length: {lengths}")


class Header(Model):
    """What is known about a result before its first run."""

    schema_name: Literal["regtopk-bench.result"] = Field(default=SCHEMA, alias="schema")
    version: Literal[2] = VERSION
    command: str
    created: str
    """UTC, ISO 8601."""
    settings: dict[str, Setting]


class Result(Header):
    """Everything that one command measured."""

    runs: list[Run]

    verdicts: list[Verdict] = Field(default_factory=list)
    """What a check concluded, by metric and cell."""

    notes: list[str] = Field(default_factory=list)
    """What is to be known of the verdicts as a whole."""

    @model_validator(mode="after")
    def _fits_together(self) -> Result:
        """Hold runs to the command, to its settings and to each other."""
        for number, run in enumerate(self.runs):
            kernel = isinstance(run.cell, KernelCell)
            if self.command != CHECK and kernel != (self.command == "kernels"):
                raise ValueError(f"run {number} is of another kind than those of {self.command}")
            if isinstance(run.cell, TrainingCell) and self.command != CHECK:
                for name, fact in (run.cell.problem | run.cell.recipe).items():
                    value = self.settings[name].value if name in self.settings else None
                    if isinstance(value, int | float) and value != fact:
                        raise ValueError(f"setting {name} is {value}, and run {number} has {fact}")
        if len({run.cell.key for run in self.runs}) < len(self.runs):
            raise ValueError("two runs have the same cell")
        return self

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each run: the facts of its cell, status, metrics.

        Raises:
            MissingPackageError: If pandas is not installed.
        """
        return data_frame([run.facts for run in self.runs])

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """Say in a line what it is of."""
        yield "command", self.command
        yield "created", self.created
        yield "runs", len(self.runs)
        training = [run.cell for run in self.runs if isinstance(run.cell, TrainingCell)]
        if training:
            yield "algorithms", ", ".join(dict.fromkeys(cell.algorithm for cell in training))
            yield "seeds", len({cell.seed for cell in training})

    def _repr_html_(self) -> str:
        """Return a small table with a row for each of the first runs."""
        rows = [{**run.cell.which, "status": run.status, **run.final} for run in self.runs[:MOST]]
        columns = dict.fromkeys(name for row in rows for name in row)
        left_out = len(self.runs) - len(rows)
        return html_table(
            {name: [row.get(name, "") for row in rows] for name in columns},
            rest=f"and {left_out} more: see to_pandas()" if left_out else "",
        )
