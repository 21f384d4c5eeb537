"""Plots of training: metrics against rounds and against bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from regtopk_bench.report.curves import Curve, curves
from regtopk_bench.report.figures import (
    Legend,
    Page,
    finish,
    literal,
    panels,
    plain_powers,
    shortened,
)
from regtopk_bench.report.images import source
from regtopk_bench.report.phrases import seeds
from regtopk_bench.report.rows import by_density
from regtopk_bench.report.trajectories import Metric, Trajectory, trajectory
from regtopk_bench.results.measures import accuracy
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.summary import Group, groups, log10

_HEIGHT = 1.45
"""Of a panel, in inches."""

_OPACITY = 0.2


def convergence_figure(result: Result, page: Page) -> Figure:
    """Draw log10 of the gap, one row of panels per density."""
    sections, looks = _by_density(result), _looks(result)
    titles = _titles(sections, page, "")
    legend = Legend(_handles(sections, looks), page)
    figure, axes = panels(page, len(sections), 2, _HEIGHT, legend, titled=any(titles))
    for row, section, title in zip(axes, sections, titles, strict=True):
        _draw(row, section, looks, _log10_gap, unit=1e3)
        row[0].set_title(title, loc="left")
        row[0].set_ylabel("log₁₀ ‖θ − θ*‖²")
    _label_last(axes, "kB")
    return figure


def image_figure(result: Result, page: Page) -> Figure:
    """Draw accuracy and loss, two rows of panels per density, bytes on a logarithmic axis."""
    sections, looks = _by_density(result), _looks(result)
    titles = _titles(sections, page, source(result))
    legend = Legend(_handles(sections, looks), page)
    figure, axes = panels(
        page, 2 * len(sections), 2, _HEIGHT, legend, titled=any(titles), share="row"
    )
    for number, (section, title) in enumerate(zip(sections, titles, strict=True)):
        accuracies, losses = axes[2 * number : 2 * number + 2]
        _draw(accuracies, section, looks, _accuracy, unit=1e6)
        _draw(losses, section, looks, _loss, unit=1e6)
        accuracies[0].set_title(title, loc="left")
        accuracies[0].set_ylabel("test accuracy, %")
        losses[0].set_ylabel("test loss")
        for panel in (accuracies[1], losses[1]):
            panel.set_xscale("log")
            plain_powers(panel.xaxis)
    _label_last(axes, "MB")
    return figure


def toy_figure(result: Result, page: Page) -> Figure:
    """Draw the loss of every algorithm against rounds."""
    everything, looks = groups(result.runs), _looks(result)
    legend = Legend(_handles([everything], looks), page)
    figure, axes = panels(page, 1, 1, _HEIGHT, legend, titled=False)
    _draw(axes[0], everything, looks, _loss, unit=1.0)
    axes[0, 0].set(xlabel="round", ylabel="logistic loss", yscale="log")
    plain_powers(axes[0, 0].yaxis)
    return figure


def _log10_gap(run: Run) -> NDArray[np.float64]:
    return log10(np.array(run.traces["gap"], dtype=np.float64))


def _accuracy(run: Run) -> NDArray[np.float64]:
    return 100.0 * accuracy(run)


def _loss(run: Run) -> NDArray[np.float64]:
    return np.array(run.traces["loss"], dtype=np.float64)


def _looks(result: Result) -> dict[str, Curve]:
    return curves(group.cell for group in groups(result.runs))


def _by_density(result: Result) -> list[list[Group]]:
    """Return the groups to draw for each density; those without one are in all of them."""
    sections = by_density(result)
    everywhere = [group for section in sections for group in section if not group.has_density]
    sparse = [section for section in sections if section[0].has_density]
    return [everywhere + section for section in sparse] or [everywhere]


def _titles(sections: Sequence[Sequence[Group]], page: Page, of_what: str) -> list[str]:
    """Return the title of each density's panels: what a caption says of all may be left out."""
    last = [section[-1] for section in sections]
    named = [f"density {each.density:g}" if each.has_density else "" for each in last]
    if page.titles and of_what:
        what = literal(shortened(of_what, page.characters - max(map(len, named)) - 2))
        return [", ".join(filter(None, (what, each))) for each in named]
    return named if page.titles or len(sections) > 1 else [""]


def _draw(
    row: Sequence[Axes],
    section: Sequence[Group],
    looks: Mapping[str, Curve],
    metric: Metric,
    unit: float,
) -> None:
    """Draw a metric of all groups against rounds, and, if there is a panel for it, bytes."""
    for group in section:
        drawn, look = trajectory(group, metric), looks[group.cell.group]
        for axes, x_R in zip(row, (drawn.rounds_R, drawn.sent_R / unit), strict=False):
            _draw_curve(axes, x_R, drawn, look)
    for axes in row:
        finish(axes)


def _draw_curve(axes: Axes, x_R: NDArray[Any], drawn: Trajectory, look: Curve) -> None:
    """Draw the mean and its interval, where both are known.

    The panel has room for all values, if not for the band.
    """
    axes.plot(x_R, drawn.mean_R, **look.style)
    for values_R in drawn.values_SR:
        axes.update_datalim(np.stack([x_R, values_R], axis=1))
    if drawn.interval_R2 is None:
        return
    low_R2, high_R2 = (np.stack([x_R, end_R], axis=1) for end_R in drawn.interval_R2.T)
    known = np.flatnonzero(np.isfinite(drawn.interval_R2).all(axis=1))
    stretches = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    outlines = [
        np.concatenate([low_R2[each], high_R2[each[::-1]]]) for each in stretches if len(each)
    ]
    if outlines:
        band = PolyCollection(outlines, color=look.colour, alpha=_OPACITY, linewidth=0)
        axes.add_collection(band, autolim=False)


def _handles(sections: Sequence[Sequence[Group]], looks: Mapping[str, Curve]) -> dict[str, Artist]:
    """Return what the legend names: the curves in the order of their looks, and the bands."""
    drawn = [group for section in sections for group in section if all(_rounds(group))]
    shown = {group.cell.group for group in drawn}
    handles: dict[str, Artist] = {
        look.label: Line2D([], [], **look.style) for key, look in looks.items() if key in shown
    }
    counts = {len(group.drawn) for group in drawn} - {1}
    if counts:
        band = Patch(facecolor="#000000", alpha=_OPACITY, linewidth=0)
        handles[f"95 % CI of the mean, {seeds(counts)}"] = band
    return handles


def _rounds(group: Group) -> list[int]:
    return [len(run.traces["uplink_bytes"]) for run in group.drawn]


def _label_last(axes: NDArray[np.object_], unit: str) -> None:
    """Label the x axes of the last row: rounds on the left, bytes on the right."""
    axes[-1, 0].set_xlabel("round")
    axes[-1, 1].set_xlabel(f"{unit} sent per worker")
