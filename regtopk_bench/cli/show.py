"""`regtopk-bench show`: a saved result again, in any format, or two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regtopk_bench.cli.invocation import console
from regtopk_bench.cli.stored import damage_told, located, stored
from regtopk_bench.errors import (
    ConfigurationError,
    MissingPackageError,
    RegtopkBenchError,
    RunError,
)
from regtopk_bench.report.listing import print_listing
from regtopk_bench.report.reports import plot, print_result, without_plot
from regtopk_bench.report.side_by_side import side_by_side
from regtopk_bench.report.table import printable
from regtopk_bench.results import Result
from regtopk_bench.results.names import names
from regtopk_bench.results.pairing import measured
from regtopk_bench.settings import parsers, plot_format_of


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How the plot is drawn again, and where."""

    output: Path | None
    """A folder, or a file by its suffix; None for the result's folder."""
    format: str | None
    """None for what the file is named, else PNG."""
    width: str
    titles: bool
    flags: Sequence[str]
    """Those that ask for a plot: if any do, it is an error if there is none."""


def show_result(path: Path, output_format: str, drawing: Drawing | None) -> Path | None:
    """Print a result to stdout and redraw its plot; return the plot's path, if there is one.

    Raises:
        ConfigurationError: If the result cannot be read or drawn, or a flag asks for a plot that it
            does not have.
        RunError: If a plot that a flag asks for could not be drawn.
    """
    path = located(path)
    with damage_told(path):
        result = stored(path)
        if drawing and drawing.flags and (reason := without_plot(result)):
            raise ConfigurationError(f"{reason}: leave out {drawing.flags[0]}")
        where = _where(path, drawing) if drawing else path
        print_result(result, output_format, console())
        return _drawn(result, where, drawing) if drawing else None


def show_two(first: Path, second: Path, output_format: str, unused: Sequence[str] = ()) -> None:
    """Print the values of two results side by side, cell by cell.

    Raises:
        ConfigurationError: If there are flags that would do nothing.
    """
    if unused:
        raise ConfigurationError(f"two results have no plot: leave out {unused[0]}")
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


def _where(path: Path, drawing: Drawing) -> Path:
    """Return the folder or the file to draw into: the one named, or the result's folder."""
    if drawing.output is None:
        return path if path.is_dir() else path.parent
    try:
        where = Path(parsers.path(str(drawing.output)))
    except ValueError as error:
        raise ConfigurationError(f"--output: {error}") from error
    try:
        named = None if where.is_dir() else plot_format_of(str(where))
    except OSError as error:
        raise _undrawable(where, error) from error
    if named and drawing.format not in (None, named):
        raise ConfigurationError(
            f"--output {where} with --plot-format {drawing.format}: give one of them"
        )
    return where


def _drawn(result: Result, where: Path, drawing: Drawing) -> Path | None:
    try:
        folder = where.parent if plot_format_of(str(where)) else where
        folder.mkdir(parents=True, exist_ok=True)
        return plot(
            result, where, drawing.format or "png", width=drawing.width, titles=drawing.titles
        )
    except OSError as error:
        raise _undrawable(where, error) from error
    except MissingPackageError as error:
        if drawing.flags:
            raise
        reason = str(error)
    except RegtopkBenchError:
        raise
    except Exception as error:  # without a plot, the table is still worth having
        reason = f"the plot could not be drawn ({type(error).__name__}: {error})"
        if drawing.flags:
            raise RunError(reason) from error
    console(stderr=True).print(printable(reason), markup=False, highlight=False, soft_wrap=True)
    return None


def _undrawable(where: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot draw into {where}: {error.strerror}; choose another --output, or --no-plot"
    )
