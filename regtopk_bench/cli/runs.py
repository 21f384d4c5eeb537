"""`regtopk-bench runs`: what is saved, newest first."""

from __future__ import annotations

import math
import os
from collections import Counter
from datetime import datetime
from pathlib import Path

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.stored import damage_told, stored
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.report.checked import outcome
from regtopk_bench.report.folders import SavedRun, runs_table
from regtopk_bench.report.listing import print_listing
from regtopk_bench.results import CHECK, KernelCell, Result, store
from regtopk_bench.results.journal import JOURNAL_FILE, in_use

_UNREADABLE = "damaged"
_KERNEL_SWEEPS = ("distribution", "size", "density")
"""The settings whose product are the problems of `kernels`."""


def list_runs(invocation: Invocation) -> None:
    """Print the runs in the output folder; one that cannot be read has a row that says so."""
    settings = invocation.resolved.settings
    parent = Path(settings.output)
    if not parent.exists() and invocation.resolved.sources["output"] == "built-in":
        folders = []
    else:
        folders = store.saved(parent)
    table = runs_table(parent, list(map(_listed, folders)))
    print_listing(table, settings.format, invocation.out)


def _listed(folder: Path) -> SavedRun:
    try:
        with damage_told(folder):
            result = stored(folder)
            return SavedRun(
                folder=folder,
                command=result.command,
                created=result.created,
                date=datetime.fromisoformat(result.created).astimezone().strftime("%Y-%m-%d"),
                cells=len(result.runs),
                status=_status(folder, result),
                size=_bytes(folder),
            )
    except ConfigurationError as error:
        return SavedRun(folder=folder, status=_UNREADABLE, size=_bytes(folder), error=str(error))


def _status(folder: Path, result: Result) -> str:
    """Return how a run ended, or that it has not; of cells, what they did other than finish."""
    if (folder / JOURNAL_FILE).exists():
        return "running" if in_use(folder) else "interrupted"
    if result.command == CHECK:
        return outcome(result)
    ended = Counter(run.status for run in result.runs if run.status != "finished")
    if ended:
        return ", ".join(f"{count} {status}" for status, count in ended.items())
    return "interrupted" if _lacks_problems(result) else "finished"


def _lacks_problems(result: Result) -> bool:
    """Tell whether `kernels`, which keeps no journal, was stopped before its last problem."""
    if result.command != "kernels":
        return False
    timed = {
        tuple(run.cell.problem.get(name) for name in ("distribution", "dim", "density"))
        for run in result.runs
        if isinstance(run.cell, KernelCell)
    }
    wanted = [result.settings[name].value for name in _KERNEL_SWEEPS if name in result.settings]
    return len(timed) < math.prod(map(len, wanted))


def _bytes(folder: Path) -> int:
    found = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                found += os.lstat(Path(parent, name)).st_size
            except FileNotFoundError:  # a running program removes its checkpoints
                continue
    return found
