"""`regtopk-bench config`: every setting, its value and where it came from."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console

from regtopk_bench.report.table import Cell, Column, Row, Table
from regtopk_bench.settings import Resolved, flag_name, variable_name


def print_config(commands: dict[str, Resolved], output_format: str) -> None:  # type: ignore[type-arg]
    """Print the settings of some commands to stdout."""
    console = Console()
    values = {command: asdict(resolved.settings) for command, resolved in commands.items()}
    if output_format == "json":
        document = {
            command: {
                name: {"value": value, "source": commands[command].sources[name]}
                for name, value in settings.items()
            }
            for command, settings in values.items()
        }
        console.file.write(json.dumps(document, indent=2) + "\n")
        return
    columns = [
        Column("command", "command", left=True),
        Column("flag", "flag", left=True),
        Column("value", "value", left=True),
        Column("source", "source", left=True),
        Column("environment variable", "variable", left=True),
    ]
    rows = [
        Row(
            [
                Cell(command),
                Cell(flag_name(name)),
                Cell(_text(value)),
                Cell(commands[command].sources[name]),
                Cell(variable_name(name)),
            ]
        )
        for command, settings in values.items()
        for name, value in settings.items()
    ]
    table = Table("Settings", columns, rows)
    match output_format:
        case "csv":
            console.file.write(table.csv())
        case "markdown":
            console.file.write(table.markdown())
        case "latex":
            console.file.write(table.latex())
        case _:
            table.print_to(console)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
