"""Plots of results: against rounds and against bytes, readable in a two-column paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from regtopk_bench.report.convergence import by_density
from regtopk_bench.report.images import accuracy, source
from regtopk_bench.report.kernels import name_of, quartiles, share_of_limit
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.summary import Group, log10

# Okabe and Ito's palette tells apart with any colour vision; dashes do without colour.
_STYLES: dict[str, dict[str, Any]] = {
    "dense": {"color": "#000000", "linestyle": (0, (1, 1.2)), "linewidth": 1.8, "zorder": 4},
    "topk": {"color": "#D55E00", "linestyle": (0, (5, 1.5)), "zorder": 3},
    "regtopk": {"color": "#0072B2", "linestyle": "-"},
    "randomk": {"color": "#CC79A7", "linestyle": (0, (3, 1, 1, 1))},
    "oracle": {"color": "#009E73", "linestyle": (0, (7, 2, 1, 2))},
}
_LABELS = {
    "dense": "dense",
    "topk": "Top-k",
    "regtopk": "RegTop-k",
    "randomk": "Random-k",
    "oracle": "oracle",
}
_COLOURS = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
_MARKERS = "osD^v"
_FONT: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7.5,
    "svg.hashsalt": "regtopk",
}


def convergence_plot(result: Result, path: Path) -> None:
    """Draw log10 of the gap, one row of panels per density; the suffix sets the format."""
    panels = _by_density(result)
    with matplotlib.rc_context(_FONT):
        figure, axes = _panels(len(panels), 2, width=6.9, height=1.9)
        for row, panel in zip(axes, panels, strict=True):
            for group in panel:
                _draw(row, group, lambda run: log10(np.array(run.traces.get("gap", []))), 1e3)
            row[0].set_title(f"density {panel[-1].cell['density']:g}", loc="left")
            row[0].set_ylabel("log₁₀ ‖θ − θ*‖²")
        axes[-1, 1].set_xlabel("kB sent per worker")
        _finish_panels(figure, axes)
        _save(figure, path)


def image_plot(result: Result, path: Path) -> None:
    """Draw accuracy and loss, two rows of panels per density, bytes on a logarithmic axis."""
    panels = _by_density(result)
    with matplotlib.rc_context(_FONT):
        figure, axes = _panels(2 * len(panels), 2, width=6.9, height=1.9, share="row")
        for number, panel in enumerate(panels):
            accuracies, losses = axes[2 * number], axes[2 * number + 1]
            for group in panel:
                _draw(accuracies, group, lambda run: 100.0 * accuracy(run), 1e6)
                _draw(losses, group, lambda run: np.array(run.traces.get("loss", [])), 1e6)
            density = f"density {panel[-1].cell['density']:g}"
            accuracies[0].set_title(f"{source(result)}, {density}", loc="left")
            accuracies[0].set_ylabel("test accuracy, %")
            losses[0].set_ylabel("test loss")
            for row in (accuracies, losses):
                row[1].set_xscale("log")
        axes[-1, 1].set_xlabel("MB sent per worker")
        _finish_panels(figure, axes)
        _save(figure, path)


def toy_plot(result: Result, path: Path) -> None:
    """Draw the loss of every algorithm against rounds."""
    with matplotlib.rc_context(_FONT):
        figure = Figure(figsize=(3.4, 2.3), layout="constrained")
        axes = figure.subplots()
        for run in result.runs:
            name = str(run.cell["algorithm"])
            loss = run.traces["loss"]
            axes.plot(range(1, len(loss) + 1), loss, label=_LABELS[name], **_STYLES[name])
        axes.set(xlabel="round", ylabel="logistic loss", yscale="log")
        _finish(axes)
        axes.legend()
        _save(figure, path)


def throughput_plot(result: Result, path: Path) -> None:
    """Draw what steps reach, against their size, and against their density at the largest."""
    steps = [run for run in result.runs if run.cell["operation"] == "step"]
    names = list(dict.fromkeys(name_of(run) for run in steps))
    first = {name: steps[0].cell[name] for name in ("distribution", "density")} if steps else {}
    largest = max((int(run.cell["dim"] or 0) for run in steps), default=0)
    with matplotlib.rc_context(_FONT):
        figure = Figure(figsize=(6.9, 2.6), layout="constrained")
        by_size, by_density = figure.subplots(1, 2)
        for number, name in enumerate(names):
            style = {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % 5]}
            own = [run for run in steps if name_of(run) == name]
            own = [run for run in own if run.cell["distribution"] == first["distribution"]]
            at_size = [run for run in own if run.cell["density"] == first["density"]]
            speeds = [
                run.metrics["moved_bytes"] / quartiles(run.traces["seconds"])[1] / 1e9
                for run in at_size
            ]
            by_size.plot([run.cell["dim"] for run in at_size], speeds, label=name, **style)
            at_density = [run for run in own if run.cell["dim"] == largest]
            shares = [100.0 * share_of_limit(run) for run in at_density]
            by_density.plot([run.cell["density"] for run in at_density], shares, **style)
        cases = {run.cell["dim"]: run for run in steps if run.cell["density"] == first["density"]}
        limits = [
            run.metrics["limit_bytes"] / quartiles(run.traces["limit_seconds"])[1] / 1e9
            for run in cases.values()
        ]
        by_size.plot(list(cases), limits, label="limit", **_STYLES["dense"])
        by_size.set(xlabel="J", ylabel="GB/s", xscale="log", yscale="log")
        by_density.set(xlabel="density", ylabel="% of limit", xscale="log", ylim=(0, None))
        if steps:
            by_size.set_title(f"step, density {first['density']:g}", loc="left")
            by_density.set_title(f"step, J = {largest:,}", loc="left")
        for axes in (by_size, by_density):
            _finish(axes)
            axes.margins(x=0.05)
        if names:
            figure.legend(loc="outside upper center", ncols=len(names))
        _save(figure, path)


def _by_density(result: Result) -> list[list[Group]]:
    """Return what belongs into the panels of each density, dense runs into all of them."""
    sections = by_density(result)
    dense = [group for section in sections for group in section if group.cell["density"] == 1.0]
    sparse = [section for section in sections if section[0].cell["density"] != 1.0]
    return [dense + section for section in sparse] or [dense]


def _panels(
    rows: int, columns: int, width: float, height: float, share: bool | Literal["row"] = True
) -> tuple[Figure, Any]:
    """Return a figure of panels with room, in inches, for labels, and a legend at the top.

    Fixed margins, because a layout that measures every text draws the figure twice.
    """
    left, right, bottom, top, gap = 0.55, 0.12, 0.42, 0.5, 0.45
    figure = Figure(figsize=(width, rows * height + top + bottom - gap))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share)
    whole = rows * height + top + bottom - gap
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / whole,
        top=1 - top / whole,
        wspace=0.08,
        hspace=gap / (height - gap),
    )
    return figure, axes


def _draw(
    row: Sequence[Axes], group: Group, curve: Callable[[Run], NDArray[np.float64]], unit: float
) -> None:
    """Draw the mean and range of a curve over seeds, against rounds and against bytes."""
    name = str(group.cell["algorithm"])
    curves = [curve(run) for run in group.runs]
    length = min(map(len, curves))
    if not length:
        return
    curves_ST = np.array([each[:length] for each in curves])
    known = np.isfinite(curves_ST).any(axis=0)  # where a metric was evaluated
    curves_ST = curves_ST[:, known]
    sent = np.array(group.runs[0].traces["uplink_bytes"][:length]).cumsum()
    sent = sent / group.runs[0].metrics["workers"] / unit
    for axes, x in zip(row, (np.arange(1, length + 1), sent), strict=True):
        axes.plot(x[known], curves_ST.mean(axis=0), label=_LABELS[name], **_STYLES[name])
        if len(curves_ST) > 1:
            low, high = curves_ST.min(axis=0), curves_ST.max(axis=0)
            colour = _STYLES[name]["color"]
            axes.fill_between(x[known], low, high, color=colour, alpha=0.15, linewidth=0)
        _finish(axes)


def _finish_panels(figure: Figure, axes: Any) -> None:
    """Label the rounds and make one legend for all panels."""
    axes[-1, 0].set_xlabel("round")
    handles = {line.get_label(): line for panel in axes[:, 0] for line in panel.lines}
    shown = [name for name in _LABELS.values() if name in handles]
    figure.legend([handles[name] for name in shown], shown, loc="upper right", ncols=len(shown))


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, linewidth=0.3, alpha=0.5)
    axes.margins(x=0.01)


def _save(figure: Figure, path: Path) -> None:
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    figure.savefig(path, dpi=160, metadata=metadata)
