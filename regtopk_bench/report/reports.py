"""Which tables and plot belong to which command's results, and how each format prints them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.extras import needed_by
from regtopk_bench.report.convergence import convergence_tables
from regtopk_bench.report.images import image_tables
from regtopk_bench.report.kernels import kernels_tables
from regtopk_bench.report.table import Column, Table, print_tables
from regtopk_bench.report.toy import toy_table
from regtopk_bench.report.verdicts import verdict_tables
from regtopk_bench.results import store
from regtopk_bench.results.schema import CHECK, Result


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
def plot(result: Result, folder: Path, plot_format: str) -> Path | None:
    """Draw the plot of a result into a folder.

    Returns:
        Its path; None if there are no runs, or for a check, whose runs are of several workloads.

    Raises:
        ConfigurationError: If the result is of a command that this version does not know.
        MissingPackageError: If Matplotlib is not installed.
    """
    if not result.runs or result.command == CHECK:
        return None
    with needed_by("the plot"):
        from regtopk_bench.report import plots, throughput  # Matplotlib is slow to import

    plotted = {
        "linreg": (plots.convergence_plot, "convergence"),
        "cifar": (plots.image_plot, "accuracy"),
        "toy": (plots.toy_plot, "convergence"),
        "kernels": (throughput.throughput_plot, "throughput"),
    }
    if result.command not in plotted:
        raise _unknown(result)
    draw, name = plotted[result.command]
    path = folder / f"{name}.{plot_format}"
    draw(result, path)
    return path


def _unknown(result: Result) -> ConfigurationError:
    return ConfigurationError(
        f'cannot show results of "{result.command}", which this version does not know: upgrade it'
    )


def print_result(result: Result, output_format: str, console: Console) -> None:
    """Print a result to a console: data only, in the requested format."""
    if output_format == "json":
        console.file.write(store.dump(result) + "\n")
        return
    unicode = (console.encoding or "").lower().startswith("utf")
    everything = output_format in ("csv", "markdown", "latex")
    print_tables(tables(result, unicode, everything=everything), output_format, console)


def _without_runs(result: Result) -> Table:
    """Return the table of a command that was killed before its first run ended."""
    title = f"{result.command}, begun {result.created}: no run has ended"
    return Table(title, [Column("algorithm", "algorithm", left=True)], [])
