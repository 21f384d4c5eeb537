"""Tables of what lies on disk: runs that were saved, and the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regtopk_bench.report.listing import size
from regtopk_bench.report.table import Column, Entry, Row, Table

_NOTHING = Entry("–", "")


@dataclass(frozen=True, kw_only=True)
class SavedRun:
    """A run's folder; what cannot be read of it is None."""

    folder: Path
    command: str | None = None
    created: str | None = None
    """When it began, as its result says it."""
    date: str | None = None
    """The same day for people, where they are."""
    cells: int | None = None
    status: str
    size: int
    """Bytes."""
    error: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True)
class CachePart:
    """What of one kind the cache has."""

    kind: str
    folder: Path
    items: int
    size: int
    """Bytes."""


def runs_table(parent: Path, runs: Sequence[SavedRun]) -> Table:
    """Return the runs in a folder, and below them why some cannot be read."""
    columns = [
        Column("folder", "folder", left=True, breaks="/_-"),
        Column("command", "command", left=True),
        Column("date", "created", left=True),
        Column("cells", "cells"),
        Column("status", "status", left=True),
        Column("size", "bytes"),
        Column("error", "error", left=True, hidden=True),
    ]
    rows = [
        Row(
            [
                Entry(str(each.folder)),
                _NOTHING if each.command is None else Entry(each.command),
                _NOTHING if each.date is None else Entry(each.date, each.created),
                _NOTHING if each.cells is None else Entry(str(each.cells), each.cells),
                Entry(each.status),
                size(each.size),
                Entry(each.error),
            ]
        )
        for each in runs
    ]
    many = "" if len(rows) == 1 else "s"
    errors = [each.error for each in runs if each.error]
    return Table(f"{len(rows)} run{many} in {parent}", columns, rows, errors)


def cache_table(cache: Path, parts: Sequence[CachePart], notes: Sequence[str]) -> Table:
    """Return the parts of a cache, with what they take together."""
    columns = [
        Column("what", "what", left=True),
        Column("folder", "folder", left=True, breaks="/"),
        Column("items", "items"),
        Column("size", "bytes"),
    ]
    rows = [
        Row(
            [
                Entry(each.kind),
                Entry(str(each.folder)),
                Entry(str(each.items), each.items),
                size(each.size),
            ]
        )
        for each in parts
    ]
    total = sum(each.size for each in parts)
    return Table(f"{cache}: {size(total).text}", columns, rows, notes)
