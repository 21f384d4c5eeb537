"""Stored results as commands read them: whatever is wrong with one is told in one line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from os.path import lexists
from pathlib import Path

from regtopk_bench.errors import ConfigurationError, RegtopkBenchError
from regtopk_bench.results import Result, store
from regtopk_bench.settings import (
    COMMANDS,
    declarations,
    from_json,
    load,
    parsers,
    resolve,
    variable_name,
)

_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What code that relies on a result's content raises where it is not what a command writes."""

_words = parsers.listing(parsers.text)

LATEST = "latest"
"""Stands for the newest run."""


def located(path: Path) -> Path:
    """Return the path that a user means: for "latest", unless there is one, that of the newest run.

    Raises:
        ConfigurationError: If there is no run.
    """
    if str(path) != LATEST or lexists(path):
        return path
    config, profile = (os.environ.get(variable_name(name)) for name in ("config", "profile"))
    file = load(Path(config) if config else None)
    parent = Path(resolve("runs", {}, os.environ, file, profile or None).settings.output)
    found = store.saved(parent, missing_ok=True)
    if not found:
        raise ConfigurationError(f"there is no run in {parent} yet")
    return found[0]


def stored(path: Path) -> Result:
    """Read the result at a path, and check its settings; call it within `damage_told`.

    Raises:
        ConfigurationError: If it is missing, damaged, of another kind or of another version.
    """
    result = store.read(path)
    declared = declarations(COMMANDS[result.command]) if result.command in COMMANDS else {}
    for name, setting in result.settings.items():
        if name not in declared:
            continue
        try:
            if declared[name].kind.choices:  # words of a later version, or of an absent package
                _words(setting.value)
            else:
                from_json(declared[name], setting.value)
        except ValueError as error:
            raise ConfigurationError(
                f"result {path} is damaged at settings.{name}: {error}"
            ) from error
    return result


@contextlib.contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Turn what damaged content raises, wherever it is noticed, into one line with its name."""
    try:
        yield
    except RegtopkBenchError:
        raise
    except _DAMAGE as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigurationError(f"result {path} is damaged ({reason})") from error
