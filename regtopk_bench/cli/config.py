"""`regtopk-bench config`: every setting, its value and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from regtopk_bench.cli.invocation import console
from regtopk_bench.report.table import Cell, Column, Row, Table, print_tables
from regtopk_bench.settings import Resolved, flag_name, variable_name


def print_config(commands: Mapping[str, Resolved[Any]], output_format: str) -> None:
    """Print the settings of some commands to stdout."""
    out = console()
    if output_format == "json":
        document = {name: _as_json(resolved) for name, resolved in commands.items()}
        out.file.write(json.dumps(document, indent=2) + "\n")
        return
    tables = [_table(name, resolved) for name, resolved in commands.items()]
    print_tables(tables, output_format, out)


def _as_json(resolved: Resolved[Any]) -> dict[str, Any]:
    values = asdict(resolved.settings)
    return {
        name: {"value": value, "source": resolved.sources[name]} for name, value in values.items()
    }


def _table(command: str, resolved: Resolved[Any]) -> Table:
    columns = [
        Column("flag", "flag", left=True),
        Column("value", "value", left=True, compact=False),
        Column("source", "source", left=True),
        Column("environment variable", "variable", left=True),
    ]
    rows = [
        Row(
            [
                Cell(flag_name(name)),
                Cell(_text(value)),
                Cell(resolved.sources[name]),
                Cell(variable_name(name)),
            ]
        )
        for name, value in asdict(resolved.settings).items()
    ]
    return Table(f"Settings of {command}", columns, rows)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
