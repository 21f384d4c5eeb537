"""What all plots share: fonts, panels, legends, and files that are the same for the same result."""

from __future__ import annotations

import contextlib
import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from PIL import Image

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.files import written_atomically
from regtopk_bench.report.table import printable
from regtopk_bench.report.thinning import compact, thin

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7.5,
    "legend.handlelength": 2.8,
    "legend.labelspacing": 0.3,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "regtopk-bench",
    "savefig.bbox": "standard",
}
"""Readable at the width of a column; fonts are embedded as TrueType, and text in SVG is text."""

SMALL = 7
"""Font size of names beside what they name, the smallest in any plot."""

WIDTHS = {"single": 3.5, "double": 7.16}
"""Inches of a column, and of both, in the two-column format of the IEEE."""

_CHARACTERS = 11.5
"""In an inch of a legend or a title."""

_HANDLE = 7
"""Characters for which a legend's handle takes room."""

_LEGEND_LINE = 0.16
_TITLE = 0.2
_DPIS = (200, 140, 100, 70)
"""Pixels per inch of a PNG: as many as make a file of no more than `_MOST_BYTES`."""

_MOST_BYTES = 300_000
_COLOURS = 256
_MOST_PIXELS = 2**16
_METADATA: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class Page:
    """The page that a figure is made for."""

    width: str = "double"
    """A key of `WIDTHS`."""

    titles: bool = True
    """Whether panels have titles; without, only those that several panels need to be told apart."""

    @property
    def inches(self) -> float:
        """Width of the figure."""
        return WIDTHS[self.width]

    @property
    def characters(self) -> int:
        """How many characters of text there is room for side by side."""
        return int(_CHARACTERS * self.inches)


class Legend:
    """The legend of a whole figure, above its panels."""

    def __init__(self, handles: Mapping[str, Artist], page: Page) -> None:
        """Arrange what is drawn by its name, in columns as wide as the longest name."""
        room = page.characters - _HANDLE
        self._handles = list(handles.values())
        folded = [textwrap.wrap(printable(name), room) or [""] for name in handles]
        self._names = ["\n".join(map(literal, lines)) for lines in folded]
        widest = max((len(line) for lines in folded for line in lines), default=0)
        self._columns = max(1, min(len(folded), page.characters // (widest + _HANDLE)))
        rows = math.ceil(len(folded) / self._columns)
        self.height = _LEGEND_LINE * rows * max(map(len, folded), default=0)
        """Inches."""

    def draw(self, figure: Figure) -> None:
        """Draw it, unless it is empty."""
        if self._handles:
            figure.legend(
                self._handles, self._names, loc="upper right", ncols=self._columns, frameon=False
            )


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw and save figures with our fonts."""
    with matplotlib.rc_context(_STYLE):
        yield


def panels(
    page: Page,
    rows: int,
    columns: int,
    height: float,
    legend: Legend,
    *,
    titled: bool,
    share: Literal["all", "row", "none"] = "all",
) -> tuple[Figure, Any]:
    """Return a figure with its legend, and its axes, (rows, columns), with room for labels.

    Fixed margins in inches, because a layout that measures every text draws the figure twice.

    Args:
        page: Where the figure is to go.
        rows: Of panels.
        columns: Of panels.
        height: Of one panel, in inches.
        legend: For all panels.
        titled: Whether panels have titles.
        share: Which panels have one y axis. Where none do, each has labels on both its axes.
    """
    own_labels = share == "none"
    left, right, bottom = 0.55, 0.12, 0.42
    title = _TITLE if titled else 0.0
    top = 0.15 + title + legend.height
    below = 0.3 + title + (0.15 if own_labels else 0.0)
    beside = 0.65 if own_labels else 0.2
    whole = round(rows * height + (rows - 1) * below + top + bottom, 2)
    figure = Figure(figsize=(page.inches, whole))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share)
    figure.subplots_adjust(
        left=left / page.inches,
        right=1 - right / page.inches,
        bottom=bottom / whole,
        top=1 - top / whole,
        wspace=beside * columns / (page.inches - left - right - (columns - 1) * beside),
        hspace=below / height,
    )
    legend.draw(figure)
    return figure, axes


def literal(text: str) -> str:
    """Return a name as Matplotlib draws it as it is: a $ begins a formula, a _ hides a label."""
    shown = printable(text).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{shown}" if shown.startswith("_") else shown


def shortened(text: str, room: int) -> str:
    """Return a text of at most so many characters, the end left out if it is longer."""
    return text if len(text) <= room else f"{text[: room - 1]}…"


def finish(axes: Axes) -> None:
    """Leave out what carries no data, and add a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, linewidth=0.3, alpha=0.5)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


def plain_powers(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis as 0.01, 100 or 10⁶, in the size of all other text."""
    axis.set_major_formatter(_Powers())
    axis.set_minor_formatter(_Powers())


class _Powers(LogFormatter):
    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a tick; empty for one without."""
        return _power(x) if super().__call__(x, pos) else ""


def _power(value: float) -> str:
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    digits, _, exponent = f"{value:.0e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if digits == "1" else f"{digits}·10{raised}"


def save(figure: Figure, path: Path) -> None:
    """Write a figure, without the date, in the format of the path's suffix.

    Raises:
        ConfigurationError: If it has more pixels than Matplotlib draws.
        OSError: If it cannot be written.
    """
    thin(figure)
    name = path.suffix.lower().removeprefix(".")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box is drawn in its place
        content = _picture(figure) if name == "png" else _vectors(figure, name)
    with written_atomically(path) as file:
        file.write(content)


def _vectors(figure: Figure, name: str) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=name, metadata=_METADATA[name])
    if name != "svg":
        return content.getvalue()
    return compact(content.getvalue().decode()).encode()


def _picture(figure: Figure) -> bytes:
    """Return a PNG with a palette: a third of the bytes, and nobody sees the difference."""
    if max(figure.get_size_inches()) * _DPIS[0] >= _MOST_PIXELS:
        raise ConfigurationError(
            "the plot is too large for PNG: give --plot-format svg or pdf, or --no-plot"
        )
    for dpi in _DPIS:
        drawn, content = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi)
        with Image.open(drawn) as image:
            few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
            few.save(content, format="png", optimize=True, dpi=(dpi, dpi))
        if content.tell() <= _MOST_BYTES:
            break
    return content.getvalue()
