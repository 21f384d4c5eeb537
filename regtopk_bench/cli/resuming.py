"""Resumed runs: with their own settings, on the same problem, in their own folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.launched import launch, restarts
from regtopk_bench.cli.stored import damage_told, stored
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.report.reports import tables
from regtopk_bench.results import Header, TrainingCell, journal, store
from regtopk_bench.results.journal import JOURNAL_FILE, Journal
from regtopk_bench.settings import resumed

if TYPE_CHECKING:  # PyTorch is slow to import
    from regtopk_bench.experiments import Cell


_PRINTED = "printed"

LAUNCH_FILE = "launch"
"""The file that says, in the folder of a run that has not ended, who will start it again."""


def resume(invocation: Invocation, command: str) -> tuple[Invocation, Path | None]:
    """Return the invocation with the settings of the run to resume, and that run's folder.

    Raises:
        ConfigurationError: If there is no such run, it belongs to another command, or a setting
            that affects the numbers was changed.
    """
    settings = invocation.resolved.settings
    path = Path(settings.resume) if settings.resume else _begun_before(Path(settings.output))
    if path is None:
        return invocation, None
    with damage_told(path):
        result = stored(path)
        if result.command != command:
            raise ConfigurationError(f"{path} is a run of {result.command}, not of {command}")
        tables(result)  # to be printed with the others: what is wrong is told before they run
        before = {name: setting.value for name, setting in result.settings.items()}
        resolved = resumed(invocation.resolved, before, path)
        profile = invocation.profile or before.get("profile")
    resumed_one = replace(invocation, resolved=resolved, profile=profile)
    return resumed_one, path if path.is_dir() else path.parent


def _begun_before(output: Path) -> Path | None:
    """Return the run that this process has begun before `torchrun` started it again, if it has."""
    if not restarts():
        return None
    marked = (each.parent for each in output.glob(f"*/{LAUNCH_FILE}") if _marks(each))
    return max(marked, default=None)


def _marks(file: Path) -> bool:
    return _lines(file)[:1] == [launch()]


def note_launch(folder: Path) -> None:
    """Write down who may start this process again, if anyone may, for it to find the run."""
    if by := launch():
        (folder / LAUNCH_FILE).write_text(f"{by}\n")


def note_printed(folder: Path) -> None:
    """Write down that the result was printed, for a process that is started again."""
    file = folder / LAUNCH_FILE
    if file.exists():
        with file.open("a") as noted:
            noted.write(f"{_PRINTED}\n")


def was_printed(folder: Path) -> bool:
    """Tell whether this process has printed the result before it was started again."""
    return bool(restarts()) and _lines(folder / LAUNCH_FILE) == [launch(), _PRINTED]


def forget_launch(folder: Path) -> None:
    """Remove what was written down: nothing is left to do if this process is started again."""
    with contextlib.suppress(OSError):  # it does no harm
        (folder / LAUNCH_FILE).unlink(missing_ok=True)


def _lines(file: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return file.read_text().splitlines()
    return []


def reopened(folder: Path, header: Header) -> Journal:
    """Open a run's journal, or start one from its result; clear up after a killed process."""
    if (folder / JOURNAL_FILE).exists():
        opened = Journal(folder)
    else:
        opened = Journal.create(folder, header, store.read(folder).runs)
    with contextlib.suppress(OSError):  # what is left there does no harm
        store.clean(folder)
    return opened


def check_same_cells(folder: Path, cells: Sequence[Cell]) -> None:
    """Check that a run's folder belongs to these cells.

    The settings already match; what they refer to, such as a folder of images, may have changed.

    Raises:
        ConfigurationError: Saying what differs.
    """
    keys = {cell.key for cell in cells}
    for run in store.read(folder).runs:
        if run.cell.key not in keys:
            raise ConfigurationError(
                f"the run to resume had {_difference(run.cell, cells)}: resume with what it was "
                "started with, or start a new run"
            )
    if (folder / JOURNAL_FILE).exists() and not journal.read(folder).environments.keys() <= keys:
        raise ConfigurationError(
            "the run to resume was begun with other data: resume with what it was started with, "
            "or start a new run"
        )


def _difference(before: Any, cells: Sequence[Cell]) -> str:
    """Say how a stored cell differs from the most similar of these cells."""
    if isinstance(before, TrainingCell):
        differences = [list(_differing(before, cell.record)) for cell in cells]
        if differences:
            name, value, now = min(differences, key=len)[0]
            return f"another {name}, {value} and not {now}"
    return "other cells"


def _differing(before: TrainingCell, now: TrainingCell) -> Iterator[tuple[str, Any, Any]]:
    parts: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [
        (before.problem, now.problem),
        (before.sparsifier, now.sparsifier),
        (before.recipe, now.recipe),
        ({"seed": before.seed}, {"seed": now.seed}),
    ]
    for old, new in parts:
        for name in old.keys() | new.keys():
            if old.get(name) != new.get(name):
                yield name, old.get(name), new.get(name)
