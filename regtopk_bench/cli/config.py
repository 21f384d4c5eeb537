"""`regtopk-bench config`: every setting, its value and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from regtopk_bench.cli.invocation import console
from regtopk_bench.report.table import NAME, Column, Entry, Row, Table, print_report
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
    print_report(
        console(),
        output_format,
        name="settings",
        tables=lambda: [settings_table(name, resolved) for name, resolved in commands.items()],
        document=lambda: json.dumps(
            {name: _document(resolved) for name, resolved in commands.items()}, indent=2
        ),
    )


def _document(resolved: Resolved[Any]) -> dict[str, Any]:
    declared = declarations(type(resolved.settings))
    return {
        name: {"value": value, "source": resolved.sources[name], "decides": declared[name].decides}
        for name, value in as_json(resolved.settings).items()
    }


def settings_table(command: str, resolved: Resolved[Any]) -> Table:
    """Return the settings of a command, a row each."""
    columns = [
        Column("flag", "flag", left=True),
        Column("value", "value", left=True, verbatim=True, breaks=NAME),
        Column("source", "source", left=True),
        Column("environment variable", "variable", left=True, breaks="_", spare=1),
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
