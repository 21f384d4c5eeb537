"""The cells that a check would run, and about how long they take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from regtopk_bench.report.table import NAME, WORDS, Column, Entry, Row, Table


@dataclass(frozen=True)
class PlannedCell:
    """A cell that has not been run."""

    key: str
    name: str
    seconds: float
    """What it takes, about."""
    skipped: str | None
    """Why it would not be run here; None if it would."""


def cells_table(profile: str, cells: Sequence[PlannedCell]) -> Table:
    """Return the cells of a profile with what they take."""
    columns = [
        Column("cell", "cell", left=True, breaks=NAME),
        Column("about s", "seconds"),
        Column("key", "key", left=True, spare=1),
        Column("note", "note", left=True, breaks=WORDS, hidden=not any(c.skipped for c in cells)),
    ]
    rows = [
        Row(
            [
                Entry(each.name),
                Entry(f"{each.seconds:.1f}", each.seconds),
                Entry(each.key),
                Entry(each.skipped or ""),
            ]
        )
        for each in cells
    ]
    total = sum(each.seconds for each in cells)
    return Table(
        f"Profile {profile}: {len(cells)} cells, about {total:.0f} s in all", columns, rows
    )


def cells_json(cells: Sequence[PlannedCell]) -> str:
    """Return the cells as a list for programs."""
    return json.dumps([asdict(each) for each in cells], indent=1)
