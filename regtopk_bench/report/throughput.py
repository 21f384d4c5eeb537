"""The plot of timed kernels: how fast a step is, by row size and by density."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regtopk_bench.report.figures import (
    SMALL,
    Legend,
    Page,
    finish,
    literal,
    panels,
    plain_powers,
    shortened,
)
from regtopk_bench.report.kernels import (
    MEMORY_LIMIT,
    cell_of,
    name_of,
    quartiles,
    share_of_memory_limit,
)
from regtopk_bench.report.numbers import short
from regtopk_bench.results.schema import Result, Run

# Okabe and Ito's palette: distinct in any colour vision. Markers are distinct without colour.
_COLOURS = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX<>*hd"
_MEMORY_LIMIT_STYLE: dict[str, Any] = {
    "color": "#000000",
    "linestyle": (0, (1, 1.2)),
    "linewidth": 1.8,
}
_HEIGHT = 1.8
_BAR_HEIGHT = 0.27
"""Of a bar with its name above it, in inches."""


@dataclass(frozen=True)
class _Panel:
    """Steps by what varies between them, or, where nothing does, side by side."""

    steps: Sequence[Run]
    by: str
    """What varies: `dim` or `density`."""
    axis: str
    """What it is called."""
    unit: str
    value: Callable[[Run], float]
    limit: Callable[[Run], float] | None
    """The memory limit in the same unit, if it is drawn."""
    title: str

    @property
    def single(self) -> bool:
        """Whether all steps are at the same place of the axis: a curve would be a point."""
        return len({_of(run, self.by) for run in self.steps}) == 1


def throughput_figure(result: Result, page: Page) -> Figure:
    """Draw steps: GB/s against J, and the share of the memory limit against density.

    The first panel is at the first density, the second at the largest J, both for the first
    distribution. A panel with one J or one density has a bar for every candidate.
    """
    steps = [run for run in result.runs if cell_of(run).candidate["operation"] == "step"]
    steps = [run for run in steps if _of(run, "distribution") == _of(steps[0], "distribution")]
    names = list(dict.fromkeys(map(name_of, steps)))
    looks = {name: _look(number) for number, name in enumerate(names)}
    drawn = _panels(steps)
    handles: dict[str, Artist] = {}
    if not all(panel.single for panel in drawn):
        handles = {name: Line2D([], [], **look) for name, look in looks.items()}
    handles[MEMORY_LIMIT] = Line2D([], [], **_MEMORY_LIMIT_STYLE)
    tallest = _BAR_HEIGHT * len(names) if any(panel.single for panel in drawn) else 0.0
    rows, columns = (1, 2) if page.width == "double" else (2, 1)
    figure, axes = panels(
        page, rows, columns, max(_HEIGHT, tallest), Legend(handles, page),
        titled=page.titles, share="none",
    )  # fmt: skip
    for panel, where in zip(drawn, axes.flat, strict=True):
        if page.titles:
            where.set_title(panel.title, loc="left")
        (_draw_bars if panel.single else _draw_curves)(where, panel, looks)
        finish(where)
        where.margins(x=0.05)
    return figure


def _panels(steps: Sequence[Run]) -> list[_Panel]:
    density = _of(steps[0], "density") if steps else None
    largest = max((_of(run, "dim") for run in steps), default=None)
    speed = _Panel(
        [run for run in steps if _of(run, "density") == density], "dim", "J", "GB/s",
        lambda run: _speed(run, "moved_bytes", "seconds"),
        lambda run: _speed(run, "memory_limit_bytes", "memory_limit_seconds"),
        f"step, density {density:g}" if density else "",
    )  # fmt: skip
    share = _Panel(
        [run for run in steps if _of(run, "dim") == largest], "density", "density",
        f"% of {MEMORY_LIMIT}", lambda run: 100.0 * share_of_memory_limit(run), None,
        f"step, J = {largest:,}" if largest else "",
    )  # fmt: skip
    return [speed, share]


def _look(number: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "markersize": 4.5,
    }


def _draw_curves(axes: Axes, panel: _Panel, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw a curve for every candidate, and the memory limit."""
    for name, look in looks.items():
        own = [run for run in panel.steps if name_of(run) == name]
        axes.plot([_of(run, panel.by) for run in own], list(map(panel.value, own)), **look)
    axes.set(xlabel=panel.axis, ylabel=panel.unit, xscale="log")
    plain_powers(axes.xaxis)
    if panel.limit is None:
        axes.set_ylim(0, None)
        return
    axes.set_yscale("log")
    plain_powers(axes.yaxis)
    at_each = {_of(run, panel.by): panel.limit(run) for run in panel.steps}
    axes.plot(list(at_each), list(at_each.values()), **_MEMORY_LIMIT_STYLE)


def _draw_bars(axes: Axes, panel: _Panel, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw a bar for every candidate, its name and value above it, and the memory limit."""
    for number, run in enumerate(panel.steps):
        name, value = name_of(run), panel.value(run)
        axes.barh(number, value, height=0.3, color=looks[name]["color"])
        axes.text(
            0.01, number - 0.2, f"{literal(shortened(name, 30))}: {short(value, 3)}",
            transform=axes.get_yaxis_transform(), size=SMALL, verticalalignment="bottom",
        )  # fmt: skip
    if panel.limit:
        axes.axvline(panel.limit(panel.steps[0]), **_MEMORY_LIMIT_STYLE)
    axes.set(xlabel=panel.unit, xlim=(0, None), ylim=(len(panel.steps) - 0.7, -0.8), yticks=[])


def _of(run: Run, name: str) -> Any:
    """Return what a run's problem has under this name."""
    return cell_of(run).problem[name]


def _speed(run: Run, moved: str, seconds: str) -> float:
    """Return GB/s."""
    return float(run.metrics[moved] / quartiles(run.traces[seconds])[1] / 1e9)
