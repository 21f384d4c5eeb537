"""Baselines: what the cells of a suite gave when somebody last accepted it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.files import content_of, written_atomically
from regtopk_bench.results.checks import check_version, parsed, validated
from regtopk_bench.results.schema import KernelCell, Run, TrainingCell
from regtopk_bench.results.values import IntOrFloat, Model, Scalar

SCHEMA: Final = "regtopk-bench.baseline"
VERSION: Final = 1

CONSERVATION = "conservation_error"
"""The metric of what an entry lost or gained between residual, gradient and message."""

_SAYS_SO = re.compile(rb'"schema"\s*:\s*"' + re.escape(SCHEMA).encode())

_CONSTANTS = ("workers", "parameters", "rounds", "k", "moved_bytes", "memory_limit_bytes")
"""Metrics that follow from the cell and say nothing about the outcome."""

_ROUNDING = 1e-6
"""The least relative tolerance on another machine: a problem's solution is rounded as well."""

_SAFETY = 10.0
"""How many times the change that a nudge made is tolerated on another machine."""

_BITS_DEPEND_ON = ("processor", "instructions", "blas", "torch", "numpy", "scipy", "gpu")
"""The facts about an environment that must agree for results to agree to the bit."""


class Metric(Model):
    """A number that depends on nothing but the cell, and on a machine's rounding."""

    value: Annotated[IntOrFloat, Field(allow_inf_nan=False)]
    tolerance: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    """How far it may be from the value where machine or versions differ."""


class BaselineCell(Model):
    """A cell with what it gave."""

    name: str
    cell: TrainingCell | KernelCell = Field(discriminator="kind")
    metrics: dict[str, Metric]
    digests: dict[str, str] = Field(default_factory=dict)
    seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    """What it took, for estimates."""
    log_ratios: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=list)
    """Natural logarithms of its time over that of the frozen step, one for each process."""


class Acceptance(Model):
    """When and why a baseline was made or changed."""

    date: str
    """UTC, ISO 8601."""
    reason: str
    commit: str | None = None


class Baseline(Model):
    """Cells by key, and where they were run."""

    schema_name: Literal["regtopk-bench.baseline"] = Field(default=SCHEMA, alias="schema")
    version: Literal[1] = VERSION
    profile: str
    history: list[Acceptance] = Field(min_length=1)
    """Oldest first."""
    environment: dict[str, Scalar]
    cells: dict[str, BaselineCell]
    frozen: int = 1
    """The version of the frozen step that times are relative to."""

    @model_validator(mode="after")
    def _keys_are_those_of_the_cells(self) -> Baseline:
        for key, each in self.cells.items():
            if key != each.cell.key:
                raise ValueError(f"{each.name} has key {key}, and its cell {each.cell.key}")
        return self


def differing(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> str | None:
    """Say why the bits of two environments may differ, or None where they must agree.

    For example: "torch was 2.14.0 and is 2.15.0". An empty environment agrees with none.
    """
    if not one or not other:
        return "it is not known where one of them was run"
    told = [
        f"{name} was {one.get(name)} and is {other.get(name)}"
        for name in _BITS_DEPEND_ON
        if one.get(name) != other.get(name)
    ]
    return ", ".join(told) or None


def differing_in_time(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> str | None:
    """Say why the times of two environments may differ, even relative to the frozen step."""
    was, now = (each.get("cpu_count") for each in (one, other))
    cores = None if was == now else f"it had {was} processors and has {now}"
    return differing(one, other) or cores


def gated(metrics: Mapping[str, int | float]) -> dict[str, int | float]:
    """Return the metrics of a run that a baseline holds: finite ones that say something.

    Conservation is not among them: it must hold without a baseline.
    """
    return {
        name: value
        for name, value in metrics.items()
        if name not in (*_CONSTANTS, CONSERVATION) and math.isfinite(value)
    }


def baseline_cell(
    name: str,
    run: Run,
    *,
    nudged: Mapping[str, int | float] | None = None,
    seconds: float = 0.0,
    log_ratios: list[float] | None = None,
) -> BaselineCell:
    """Return what a baseline holds of a run.

    Args:
        name: The cell's.
        run: Its run.
        nudged: For each metric, the most that it changed when the initial parameters were nudged by
            a few roundings: what another machine may change as well, ten times over.
        seconds: What it took.
        log_ratios: Of its time over that of the frozen step.
    """
    changes = nudged or {}
    return BaselineCell(
        name=name,
        cell=run.cell,
        metrics={
            each: Metric(value=value, tolerance=_tolerance(value, changes.get(each, 0.0)))
            for each, value in gated(run.metrics).items()
        },
        digests=run.digests,
        seconds=seconds,
        log_ratios=log_ratios or [],
    )


def _tolerance(value: int | float, change: float) -> float:
    rounding = 0.0 if isinstance(value, int) else _ROUNDING * abs(value)
    return max(rounding, _SAFETY * change)


def is_one(path: Path) -> bool:
    """Tell whether a path is that of a baseline, damaged or not, and not of a result."""
    try:
        return _SAYS_SO.search(content_of(path)) is not None
    except OSError:
        return False


def read(file: Path, *, made_by: str = "regtopk-bench baseline create") -> Baseline:
    """Read a baseline.

    Args:
        file: The baseline.
        made_by: The command that makes it, to be told if there is none.

    Raises:
        ConfigurationError: If it is missing, damaged, of another kind or of another version.
    """
    try:
        content = parsed(content_of(file), f"baseline {file}")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"there is no baseline {file}: make one with `{made_by}`, or "
            "compare with another checkout by --against"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"cannot read baseline {file}: {error.strerror}") from error
    check_version(content, file, kind="baseline", schema=SCHEMA, version=VERSION)
    return validated(Baseline, content, f"baseline {file}")


def write(baseline: Baseline, file: Path) -> None:
    """Write a baseline, completely or not at all.

    Raises:
        RunError: If it cannot be written.
    """
    try:
        with written_atomically(file) as begun:
            begun.write(f"{dump(baseline)}\n".encode())
    except OSError as error:
        raise RunError(f"cannot write baseline {file}: {error.strerror}") from error


def dump(baseline: Baseline) -> str:
    """Return a baseline as JSON."""
    document = baseline.model_dump(mode="json", by_alias=True)
    return json.dumps(document, indent=1, allow_nan=False)
