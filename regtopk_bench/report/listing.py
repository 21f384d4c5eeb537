"""Tables that are data themselves, and not drawn from a result: JSON of them, and sizes."""

from __future__ import annotations

import json

from rich.console import Console

from regtopk_bench.report.numbers import byte_unit
from regtopk_bench.report.table import Entry, Table, print_report


def print_listing(table: Table, output_format: str, console: Console) -> None:
    """Print a table in any format; JSON is a list of objects with the keys of its columns."""
    print_report(
        console,
        output_format,
        name="list",
        tables=lambda: [table],
        document=lambda: json.dumps(_objects(table), indent=1, allow_nan=False),
    )


def _objects(table: Table) -> list[dict[str, object]]:
    keys = [column.key for column in table.columns]
    return [dict(zip(keys, map(_value, row.entries), strict=True)) for row in table.rows]


def _value(entry: Entry) -> object:
    """Return what programs read; null for a value that there is not."""
    value = entry.text if entry.raw is None else entry.raw
    return None if value == "" else value


def size(count: int) -> Entry:
    """Return a number of bytes."""
    unit, factor = byte_unit(count)
    return Entry(f"{count / factor:.3g} {unit}", count)
