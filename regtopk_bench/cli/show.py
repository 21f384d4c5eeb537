"""`regtopk-bench show`: a saved result again, in any format, or two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from regtopk_bench.cli.invocation import console
from regtopk_bench.cli.stored import damage_told, located, stored
from regtopk_bench.errors import ConfigurationError, RegtopkBenchError
from regtopk_bench.report.listing import print_listing
from regtopk_bench.report.reports import plot, print_result
from regtopk_bench.report.side_by_side import side_by_side
from regtopk_bench.report.table import printable
from regtopk_bench.results import Result
from regtopk_bench.results.names import names
from regtopk_bench.results.pairing import measured
from regtopk_bench.settings import parsers


def show_result(
    path: Path, output_format: str, plot_format: str, output: Path | None, draw: bool
) -> Path | None:
    """Print a result to stdout and redraw its plot; return the plot's path, if there is one."""
    path = located(path)
    with damage_told(path):
        result = stored(path)
        print_result(result, output_format, console())
        return _drawn(result, _folder(path, output), plot_format) if draw else None


def show_two(first: Path, second: Path, output_format: str, unused: Sequence[str] = ()) -> None:
    """Print the values of two results side by side, cell by cell.

    Raises:
        ConfigurationError: If there are flags that would do nothing.
    """
    if unused:
        raise ConfigurationError(f"{unused[0]} with two results, which have no plot: leave it out")
    first, second = located(first), located(second)
    sides, notes = [], []
    for path, letter in ((first, "A"), (second, "B")):
        with damage_told(path):
            result = stored(path)
            finished = [run for run in result.runs if run.status == "finished"]
            sides.append(list(map(measured, finished)))
            named = names(run.cell for run in result.runs)
            notes += [
                f"not compared: {named[run.cell.key]} of {letter} {run.status}"
                for run in result.runs
                if run.status != "finished"
            ]
    title = f"A: {first}, B: {second}"
    table = side_by_side(title, *sides)
    print_listing(replace(table, notes=[*table.notes, *notes]), output_format, console())


def _folder(path: Path, output: Path | None) -> Path:
    """Return the folder to draw into: the one named, or the result's."""
    if output is None:
        return path if path.is_dir() else path.parent
    try:
        return Path(parsers.path(str(output)))
    except ValueError as error:
        raise ConfigurationError(f"--output: {error}") from error


def _drawn(result: Result, folder: Path, plot_format: str) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return plot(result, folder, plot_format)
    except OSError as error:
        raise ConfigurationError(
            f"cannot draw into {folder}: {error.strerror}; choose a folder with --output, "
            "or --no-plot"
        ) from error
    except RegtopkBenchError:
        raise
    except Exception as error:  # without a plot, the table is still worth having
        reason = printable(f"the plot could not be drawn ({type(error).__name__}: {error})")
        console(stderr=True).print(reason, markup=False, highlight=False, soft_wrap=True)
        return None
