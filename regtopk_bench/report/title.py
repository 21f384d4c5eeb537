"""What titles take from a result's settings, any of which a library user's result may lack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regtopk_bench.results.schema import Result, TrainingCell


def setting(result: Result, name: str) -> Any:
    """Return a setting's value, or None where the result has none."""
    found = result.settings.get(name)
    return found.value if found else None


def described(result: Result, forms: Mapping[str, str]) -> list[str]:
    """Return the settings that the result has, each in its form, such as `N={} workers`."""
    values = {name: setting(result, name) for name in forms}
    return [forms[name].format(value) for name, value in values.items() if value is not None]


def seeds_of(result: Result) -> str:
    """Return how many seeds there are, in words."""
    seeds = {run.cell.seed for run in result.runs if isinstance(run.cell, TrainingCell)}
    return f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''}"
