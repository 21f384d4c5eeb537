"""What doctor found out about a machine: how often the timing gate is right on it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.files import content_of, written_atomically
from regtopk_bench.results.checks import parsed, validated
from regtopk_bench.results.rates import Probability, Share
from regtopk_bench.results.values import Model, Scalar

SCHEMA: Final = "regtopk-bench.diagnosis"
VERSION: Final = 1

_FRESH = timedelta(days=7)
_NAME = re.compile(r"[0-9a-f]{16}\.json")


class DiagnosedCell(Model):
    """How well the gate sees a cell that becomes slower alone."""

    key: str
    name: str
    noise: float
    """The standard deviation of log(head / base) between pairs of the same code."""
    found: Share
    """Gate runs that find the injected slowdown."""
    found_in_95: float | None
    """The slowdown, a ratio, that 95 % of gate runs would find; None if not even tenfold."""


class Diagnosis(Model):
    """How gate runs end on a machine, where nothing is slower and where something is."""

    schema_name: Literal["regtopk-bench.diagnosis"] = Field(default=SCHEMA, alias="schema")
    version: Literal[1] = VERSION
    created: str
    """UTC, ISO 8601."""
    profile: str
    margin: float
    slowdown: float
    """The factor by which cells were slowed down, one in each gate run."""
    pairs: int
    """Pairs of processes that were measured."""
    machine: dict[str, Scalar]
    environment: dict[str, Scalar]
    false_alarms: Share
    """Gate runs on the same code that fail a cell."""
    passed: Share
    """Gate runs on the same code that pass every cell."""
    pairs_taken: float
    """What such a run takes, in the mean."""
    seconds_per_pair: float
    stolen: Probability
    """The processors' time that the host gave to others meanwhile."""
    cells: list[DiagnosedCell] = Field(min_length=1)
    unfit: str | None
    """Why timing should not gate on this machine; None if it may."""

    def __str__(self) -> str:
        """Return what was found, in a sentence without a full stop."""
        if self.unfit:
            return f"timing should not gate on this machine: {self.unfit}"
        least = min(self.cells, key=lambda cell: cell.found.value)
        return (
            f"of gate runs on this machine {self.false_alarms} would raise a false alarm, and "
            f"{least.found} at least find a slowdown of {self.slowdown:g}"
        )


def stored(
    folder: Path,
    environment: Mapping[str, Scalar],
    profile: str,
    margin: float,
    keys: Iterable[str],
) -> Diagnosis | None:
    """Return the diagnosis kept of a machine, if it is fresh and of these cells.

    Args:
        folder: Where `store` keeps it.
        environment: Where cells are run.
        profile: The suite's.
        margin: The gate's.
        keys: The cells to be timed.
    """
    file = folder / _name(environment, profile, margin)
    try:
        kept = validated(Diagnosis, parsed(content_of(file), str(file)), str(file))
        age = datetime.now(UTC) - datetime.fromisoformat(kept.created)
    except (OSError, ConfigurationError, ValueError, TypeError):  # it can be made again
        return None
    known = {cell.key for cell in kept.cells}
    return kept if timedelta(0) <= age < _FRESH and known.issuperset(keys) else None


def store(diagnosis: Diagnosis, folder: Path) -> Path:
    """Keep a diagnosis, and return its file.

    Raises:
        RunError: If it cannot be written.
    """
    file = folder / _name(diagnosis.environment, diagnosis.profile, diagnosis.margin)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_atomically(file) as begun:
            begun.write(f"{dump(diagnosis)}\n".encode())
    except OSError as error:
        raise RunError(f"cannot keep the answer in {folder}: {error.strerror}") from error
    return file


def kept(folder: Path) -> list[Path]:
    """Return the files that `store` has written into a folder, whatever they hold."""
    if not folder.is_dir():
        return []
    return sorted(
        each for each in folder.iterdir() if _NAME.fullmatch(each.name) and each.is_file()
    )


def dump(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as JSON."""
    document = diagnosis.model_dump(mode="json", by_alias=True)
    return json.dumps(document, indent=1, allow_nan=False)


def _name(environment: Mapping[str, Scalar], profile: str, margin: float) -> str:
    """Return the name of the file for a machine and a gate."""
    facts = ("processor", "instructions", "cpu_count", "usable_processors", "processor_limit")
    identity = [*(environment.get(name) for name in facts), profile, margin]
    return f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]}.json"
