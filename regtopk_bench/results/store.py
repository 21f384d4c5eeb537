"""Results on disk: written atomically, read back with checks."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.files import written_atomically
from regtopk_bench.results.schema import SCHEMA, VERSION, Result, Run

RESULT_FILE = "result.json"
TRACES_FILE = "traces.csv"
_WHICH_RUN = ("algorithm", "density", "seed")
_WHICH_KERNEL = ("distribution", "dim", "density", "operation", "implementation", "case")


def new_folder(parent: Path, command: str) -> Path:
    """Make a new folder for a run, named after the time and the command.

    Raises:
        ConfigurationError: If it cannot be made or written to.
    """
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            folder = parent / f"{stamp}_{command}{f'_{attempt}' if attempt else ''}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {parent}: {error.strerror}; name another --output, or pass --no-save"
        ) from error
    raise ConfigurationError(f"{parent} has a thousand runs of this second already")


def dump(result: Result) -> str:
    """Return the result as JSON text."""
    return json.dumps(result.model_dump(mode="json", by_alias=True), allow_nan=False)


def write(result: Result, folder: Path) -> None:
    """Write `result.json` and `traces.csv`, each whole or not at all."""
    with written_atomically(folder / RESULT_FILE) as file:
        file.write(f"{dump(result)}\n".encode())
    names = dict.fromkeys(name for run in result.runs for name in run.traces)
    text = io.StringIO()
    which = _WHICH_KERNEL if result.command == "kernels" else _WHICH_RUN
    table = csv.DictWriter(text, [*which, "round", *names], restval="", lineterminator="\n")
    table.writeheader()
    for run in result.runs:
        table.writerows(_trace_lines(run, which))
    with written_atomically(folder / TRACES_FILE) as file:
        file.write(text.getvalue().encode())


def read(path: Path) -> Result:
    """Read a result file, or the one in a run's folder.

    Raises:
        ConfigurationError: If it is missing, damaged, of another kind or of a newer version.
    """
    file = path / RESULT_FILE if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigurationError(f"cannot read result {file}: {reason}") from error
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"result {file} is damaged or truncated at line {error.lineno}: {error.msg}"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ConfigurationError(f'{file} is not a result: its "schema" is not "{SCHEMA}"')
    version = content.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ConfigurationError(
            f"result {file} has version {version}, this program reads up to {VERSION}: upgrade it"
        )
    try:
        return Result.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"result {file} is damaged at {where}: {first['msg']}") from error


def _trace_lines(run: Run, which: tuple[str, ...]) -> list[dict[str, object]]:
    """Return one line per round: which run, the round from 1, every trace."""
    cell = {name: run.cell.get(name, "") for name in which}
    traces = list(run.traces.items())
    length = max((len(values) for _, values in traces), default=0)
    return [
        {**cell, "round": round + 1, **{name: _shown(values[round]) for name, values in traces}}
        for round in range(length)
    ]


def _shown(value: int | float) -> int | float | str:
    """Return nothing for what was not evaluated after a round."""
    return "" if math.isnan(value) else value
