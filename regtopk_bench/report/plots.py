"""Plots of training: metrics against rounds and against bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from regtopk_bench.report.curves import Curve, curves
from regtopk_bench.report.figures import FONT, finish, literal, panels, save
from regtopk_bench.report.images import source
from regtopk_bench.report.rows import by_density
from regtopk_bench.results.measures import accuracy
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.summary import Group, groups, log10, sent_bytes

_HEIGHT = 1.9
"""Of a row of panels, in inches."""

_LEGEND_WIDTH = 80
"""Characters in a line of the legend; each curve takes six besides its name."""


def convergence_plot(result: Result, path: Path) -> None:
    """Draw log10 of the gap, one row of panels per density; the suffix sets the format."""
    sections = _by_density(result)
    looks = curves(group.cell for group in groups(result.runs))
    with matplotlib.rc_context(FONT):
        figure, axes = panels(len(sections), 2, _HEIGHT, _legend_shape(looks)[0])
        for row, section in zip(axes, sections, strict=True):
            for group in section:
                _draw(row, group, looks[group.cell.group], _log10_gap, 1e3)
            row[0].set_title(f"density {section[-1].density:g}", loc="left")
            row[0].set_ylabel("log₁₀ ‖θ − θ*‖²")
        axes[-1, 1].set_xlabel("kB sent per worker")
        _finish_panels(figure, axes, looks)
        save(figure, path)


def image_plot(result: Result, path: Path) -> None:
    """Draw accuracy and loss, two rows of panels per density, bytes on a logarithmic axis."""
    sections = _by_density(result)
    looks = curves(group.cell for group in groups(result.runs))
    with matplotlib.rc_context(FONT):
        lines = _legend_shape(looks)[0]
        figure, axes = panels(2 * len(sections), 2, _HEIGHT, lines, share="row")
        for section, accuracies, losses in zip(sections, axes[::2], axes[1::2], strict=True):
            for group in section:
                look = looks[group.cell.group]
                _draw(accuracies, group, look, lambda run: 100.0 * accuracy(run), 1e6)
                _draw(losses, group, look, lambda run: np.array(run.traces["loss"]), 1e6)
            title = f"{literal(source(result))}, density {section[-1].density:g}"
            accuracies[0].set_title(title, loc="left")
            accuracies[0].set_ylabel("test accuracy, %")
            losses[0].set_ylabel("test loss")
            for row in (accuracies, losses):
                row[1].set_xscale("log")
        axes[-1, 1].set_xlabel("MB sent per worker")
        _finish_panels(figure, axes, looks)
        save(figure, path)


def toy_plot(result: Result, path: Path) -> None:
    """Draw the loss of every algorithm against rounds."""
    everything = groups(result.runs)
    looks = curves(group.cell for group in everything)
    with matplotlib.rc_context(FONT):
        figure = Figure(figsize=(3.4, 2.3), layout="constrained")
        axes = figure.subplots()
        for group in everything:
            loss = group.runs[0].traces["loss"]
            axes.plot(range(1, len(loss) + 1), loss, **looks[group.cell.group].style)
        axes.set(xlabel="round", ylabel="logistic loss", yscale="log")
        finish(axes)
        axes.legend()
        save(figure, path)


def _log10_gap(run: Run) -> NDArray[np.float64]:
    return log10(np.array(run.traces["gap"], dtype=np.float64))


def _by_density(result: Result) -> list[list[Group]]:
    """Return the groups to draw for each density; dense runs are in all of them."""
    sections = by_density(result)
    dense = [group for section in sections for group in section if group.density == 1.0]
    sparse = [section for section in sections if section[0].density != 1.0]
    return [dense + section for section in sparse] or [dense]


def _draw(
    row: Sequence[Axes],
    group: Group,
    look: Curve,
    curve: Callable[[Run], NDArray[np.float64]],
    unit: float,
) -> None:
    """Draw the mean and range of a curve over seeds, against rounds and against bytes."""
    values = [curve(run) for run in group.runs]
    length = min(map(len, values))
    if not length:
        return
    values_ST = np.array([each[:length] for each in values])
    known = np.isfinite(values_ST).any(axis=0)  # where a metric was evaluated
    values_ST = values_ST[:, known]
    sent = sent_bytes(group.runs[0])[:length].cumsum() / unit
    for axes, x in zip(row, (np.arange(1, length + 1), sent), strict=True):
        axes.plot(x[known], values_ST.mean(axis=0), **look.style)
        if len(values_ST) > 1:
            low, high = values_ST.min(axis=0), values_ST.max(axis=0)
            axes.fill_between(x[known], low, high, color=look.colour, alpha=0.15, linewidth=0)
        finish(axes)


def _legend_shape(looks: Mapping[str, Curve]) -> tuple[int, int]:
    """Return the lines and columns of the legend of all curves."""
    names = {look.label for look in looks.values()}
    columns = max(1, _LEGEND_WIDTH // (max(map(len, names), default=0) + 6))
    return math.ceil(len(names) / columns), min(columns, max(len(names), 1))


def _finish_panels(figure: Figure, axes: Any, looks: Mapping[str, Curve]) -> None:
    """Label the rounds, and make one legend for all panels."""
    axes[-1, 0].set_xlabel("round")
    handles = {line.get_label(): line for panel in axes[:, 0] for line in panel.lines}
    shown = [
        name for name in dict.fromkeys(look.label for look in looks.values()) if name in handles
    ]
    columns = _legend_shape(looks)[1]
    figure.legend([handles[name] for name in shown], shown, loc="upper right", ncols=columns)
