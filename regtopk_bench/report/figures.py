"""What all plots share: fonts, panels, and files that are the same for the same result."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.report.table import printable

FONT: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7.5,
    "svg.hashsalt": "regtopk-bench",
}
"""Readable in a two-column paper; the salt makes the names inside an SVG reproducible."""

WIDTH = 6.9
"""Inches: both columns of a paper."""

_LEGEND_LINE = 0.15
_DPI = 160
_MOST_PIXELS = 2**16


def panels(
    rows: int,
    columns: int,
    height: float,
    legend_lines: int,
    share: bool | Literal["row"] = True,
) -> tuple[Figure, Any]:
    """Return a figure and its axes, (rows, columns), with room for labels and a legend on top.

    Fixed margins in inches, because a layout that measures every text draws the figure twice.

    Args:
        rows: Of panels.
        columns: Of panels.
        height: Of one row, in inches.
        legend_lines: How many lines the legend has.
        share: Whether all panels have one y axis, or those of a row.
    """
    left, right, bottom, gap = 0.55, 0.12, 0.42, 0.45
    top = 0.35 + _LEGEND_LINE * legend_lines
    whole = rows * height + top + bottom - gap
    figure = Figure(figsize=(WIDTH, whole))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share)
    figure.subplots_adjust(
        left=left / WIDTH,
        right=1 - right / WIDTH,
        bottom=bottom / whole,
        top=1 - top / whole,
        wspace=0.08,
        hspace=gap / (height - gap),
    )
    return figure, axes


def literal(text: str) -> str:
    """Return a name as Matplotlib draws it as it is: a $ begins a formula, a _ hides a label."""
    shown = printable(text).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{shown}" if shown.startswith("_") else shown


def finish(axes: Axes) -> None:
    """Leave out what carries no data, and add a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, linewidth=0.3, alpha=0.5)
    axes.margins(x=0.01)


def save(figure: Figure, path: Path) -> None:
    """Write a figure without the date, in the format of the path's suffix.

    Raises:
        ConfigurationError: If it has more pixels than Matplotlib draws.
    """
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    if path.suffix == ".png" and max(figure.get_size_inches()) * _DPI >= _MOST_PIXELS:
        raise ConfigurationError(
            "the plot is too large for PNG: give --plot-format svg or pdf, or --no-plot"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box is drawn in its place
        figure.savefig(path, dpi=_DPI, metadata=metadata)
