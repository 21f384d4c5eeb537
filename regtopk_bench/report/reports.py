"""Which tables and plot belong to which command's results, and how each format prints them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.extras import needed_by
from regtopk_bench.report.compared import compare
from regtopk_bench.report.convergence import convergence_tables
from regtopk_bench.report.images import image_tables
from regtopk_bench.report.kernels import kernels_tables
from regtopk_bench.report.table import Column, Entry, Row, Table, print_report
from regtopk_bench.report.toy import toy_table
from regtopk_bench.report.verdicts import verdict_tables
from regtopk_bench.results import store
from regtopk_bench.results.schema import CHECK, LIBRARY, Result


@np.errstate(all="ignore")  # numbers at the edge of floating point are shown as inf or nan
def tables(result: Result, unicode: bool = True, *, everything: bool = False) -> list[Table]:
    """Return the tables of a result.

    Args:
        result: The result.
        unicode: Whether drawings may use characters beyond ASCII.
        everything: Whether a check's tables have rows for what passed.

    Raises:
        ConfigurationError: If the result is of a command that this version does not know.
    """
    if result.command == CHECK:
        return verdict_tables(result, everything=everything)
    if not result.runs:
        return [_without_runs(result)]
    if result.command == LIBRARY:
        return list(compare(result).tables)
    match result.command:
        case "linreg":
            return convergence_tables(result, unicode)
        case "cifar":
            return image_tables(result)
        case "toy":
            return [toy_table(result)]
        case "kernels":
            return kernels_tables(result)
    raise _unknown(result)


@np.errstate(all="ignore")
def plot(
    result: Result,
    where: Path,
    plot_format: str = "png",
    *,
    width: str = "double",
    titles: bool = True,
) -> Path | None:
    """Draw the plot of a result.

    Args:
        result: The result.
        where: An existing folder, or the file to write, whose suffix sets the format.
        plot_format: Format of a file in a folder: png, svg or pdf.
        width: Of one column of a paper, "single", or of both, "double".
        titles: Whether panels have titles.

    Returns:
        Its path; None for what has no plot, as `without_plot` says.

    Raises:
        ConfigurationError: If the result is of a command that this version does not know, or the
            plot is too large for its format.
        MissingPackageError: If Matplotlib is not installed.
        OSError: If it cannot be written.
    """
    if without_plot(result):
        return None
    with needed_by("the plot"):
        from regtopk_bench.report import figures, plots, throughput  # Matplotlib is slow to import

    drawings = {
        "linreg": (plots.convergence_figure, "convergence"),
        "cifar": (plots.image_figure, "accuracy"),
        "toy": (plots.toy_figure, "convergence"),
        "kernels": (throughput.throughput_figure, "throughput"),
    }
    if result.command not in drawings:
        raise _unknown(result)
    draw, name = drawings[result.command]
    path = where / f"{name}.{plot_format}" if where.is_dir() else where
    with figures.style():
        figures.save(draw(result, figures.Page(width, titles)), path)
    return path


def without_plot(result: Result) -> str | None:
    """Return why there is no plot of a result; None if there is one."""
    if result.command == CHECK:  # whose runs are of several workloads
        return f"a result of {result.command} has no plot"
    if result.command == LIBRARY:
        return "runs of a program of one's own have no plot"
    return None if result.runs else "no run has ended, so that there is no plot"


def _unknown(result: Result) -> ConfigurationError:
    return ConfigurationError(
        f'cannot show results of "{result.command}", which this version does not know: upgrade it'
    )


def print_result(result: Result, output_format: str, console: Console) -> None:
    """Print a result to a console: data only, in the requested format; CSV is one table."""
    unicode = (console.encoding or "").lower().startswith("utf")
    everything = output_format in ("csv", "markdown", "latex")

    def shown() -> list[Table]:
        found = tables(result, unicode, everything=everything)
        return [_for_programs(found)] if output_format == "csv" else found

    print_report(
        console,
        output_format,
        name=result.command,
        tables=shown,
        document=lambda: store.dump(result),
    )


def _for_programs(shown: list[Table]) -> Table:
    """Return the first table, with the rows of those that are about the same things.

    Those begin with the same column; where one lacks another column, its cells are empty. What
    else a result says is in its JSON: a stream of CSV is one table.
    """
    first = shown[0]
    alike = [table for table in shown if table.columns[:1] == first.columns[:1]]
    columns = {column.key: column for table in alike for column in table.columns}
    rows = []
    for table in alike:
        keys = [column.key for column in table.columns]
        for row in table.rows:
            entries = dict(zip(keys, row.entries, strict=True))
            whole = [entries.get(key, Entry("")) for key in columns]
            rows.append(Row(whole, row.marked, row.section_ends))
    return Table(first.title, list(columns.values()), rows)


def _without_runs(result: Result) -> Table:
    """Return the table of a command that was killed before its first run ended."""
    title = f"{result.command}, begun {result.created}: no run has ended"
    return Table(title, [Column("algorithm", "algorithm", left=True)], [])
