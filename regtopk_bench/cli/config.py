"""`regtopk-bench config`: every setting, its value and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from regtopk_bench.cli.invocation import console
from regtopk_bench.report.table import Column, Entry, Row, Table, print_tables
from regtopk_bench.settings import (
    Resolved,
    as_json,
    as_text,
    declarations,
    flag_name,
    variable_name,
)


def print_config(commands: Mapping[str, Resolved[Any]], output_format: str) -> None:
    """Print the settings of some commands to stdout."""
    out = console()
    if output_format == "json":
        document = {name: _document(resolved) for name, resolved in commands.items()}
        out.file.write(json.dumps(document, indent=2) + "\n")
        return
    tables = [_table(name, resolved) for name, resolved in commands.items()]
    print_tables(tables, output_format, out)


def _document(resolved: Resolved[Any]) -> dict[str, Any]:
    declared = declarations(type(resolved.settings))
    return {
        name: {"value": value, "source": resolved.sources[name], "decides": declared[name].decides}
        for name, value in as_json(resolved.settings).items()
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
                Entry(flag_name(name)),
                Entry(as_text(getattr(resolved.settings, name))),
                Entry(resolved.sources[name]),
                Entry(variable_name(name)),
            ]
        )
        for name in declarations(type(resolved.settings))
    ]
    return Table(f"Settings of {command}", columns, rows)
