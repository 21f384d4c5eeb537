"""`regtopk-bench show`: a saved result again, in any format."""

from __future__ import annotations

from pathlib import Path

from regtopk_bench.cli.invocation import console
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.report.reports import plot, print_result
from regtopk_bench.results import store


def show_result(
    path: Path, output_format: str, plot_format: str, output: Path | None, draw: bool
) -> Path | None:
    """Print a result to stdout and redraw its plot; return the plot's path."""
    result = store.read(path)
    print_result(result, output_format, console())
    if not draw:
        return None
    folder = output or (path if path.is_dir() else path.parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return plot(result, folder, plot_format)
    except OSError as error:
        raise ConfigurationError(
            f"cannot draw into {folder}: {error.strerror}; choose a folder with --output, "
            "or --no-plot"
        ) from error
