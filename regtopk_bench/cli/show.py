"""`regtopk-bench show`: a saved result again, in any format."""

from __future__ import annotations

from pathlib import Path

from regtopk_bench.cli.invocation import console
from regtopk_bench.cli.stored import damage_told, stored
from regtopk_bench.errors import ConfigurationError, MissingPackageError, RegtopkBenchError
from regtopk_bench.report.reports import plot, print_result
from regtopk_bench.report.table import printable
from regtopk_bench.results import Result
from regtopk_bench.settings import parsers


def show_result(
    path: Path, output_format: str, plot_format: str, output: Path | None, draw: bool
) -> Path | None:
    """Print a result to stdout and redraw its plot; return the plot's path, if there is one."""
    with damage_told(path):
        result = stored(path)
        print_result(result, output_format, console())
        return _drawn(result, _folder(path, output), plot_format) if draw else None


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
    except MissingPackageError as error:
        reason = str(error)
    except RegtopkBenchError:
        raise
    except Exception as error:  # without a plot, the table is still worth having
        reason = f"the plot could not be drawn ({type(error).__name__}: {error})"
    console(stderr=True).print(printable(reason), markup=False, highlight=False, soft_wrap=True)
    return None
