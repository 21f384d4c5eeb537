"""The plot of `cost`: seconds a step against the bandwidth, a curve for each sparsifier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regtopk_bench.network import Network
from regtopk_bench.report.curves import Curve, curves
from regtopk_bench.report.figures import Legend, Page, finish, panels, plain_powers
from regtopk_bench.report.numbers import bit_rate
from regtopk_bench.results.costs import CostLine, Costs

_HEIGHT = 2.0
_ASKED: dict[str, Any] = {"color": "#7F7F7F", "linestyle": (0, (1, 1.5)), "linewidth": 1.0}
_CROSSING: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 4.5,
    "markerfacecolor": "white",
}
_POINTS = 400
_BEYOND = 10.0
"""The axis goes on for this factor beyond the bandwidths that matter."""

_UNIT = 1e9
"""Of bandwidths, in bit/s."""


def cost_figure(costs: Costs, page: Page) -> Figure:
    """Draw what is compared, overlapped, against the bandwidth: a panel for each density."""
    looks = curves(line.cell for line in costs.lines)
    densities = dict.fromkeys(line.density for line in costs.lines if line.has_density)
    sections = [
        [line for line in costs.lines if not line.has_density or line.density == density]
        for density in densities or [1.0]
    ]
    columns = min(len(sections), 2 if page.width == "double" else 1)
    rows = math.ceil(len(sections) / columns)
    legend = Legend(_handles(costs, looks), page)
    figure, axes = panels(page, rows, columns, _HEIGHT, legend, titled=page.titles)
    for section, where in zip(sections, axes.flat, strict=False):
        _draw(costs, section, looks, where)
        if page.titles or len(sections) > 1:
            where.set_title(f"density {section[-1].density:g}", loc="left")
    for where in axes.flat[len(sections) :]:
        where.set_visible(False)
    what = f"s to {costs.rounds.target}" if costs.rounds else "s a step"
    for row in axes:
        row[0].set_ylabel(f"{what}, overlapped")
    links = "between nodes, " if Network.parse(costs.network).inside else ""
    for where in axes[-1]:
        where.set_xlabel(f"bandwidth {links}Gbit/s" if links else "bandwidth, Gbit/s")
    return figure


def _draw(
    costs: Costs, section: Sequence[CostLine], looks: Mapping[str, Curve], axes: Axes
) -> None:
    low, high = _range(costs)
    bandwidths = np.geomspace(low, high, _POINTS)
    for line in section:
        rounds = _rounds(costs, line)
        if rounds is None:
            continue
        step = costs.step(line.footprint, overlapped=True)
        times = [rounds * step.at(each).seconds for each in bandwidths.tolist()]
        look = looks[line.group]
        axes.plot(bandwidths / _UNIT, times, **look.style)
        below = line.overlapped.pays_below
        if below is not None and line is not costs.reference:
            at = rounds * step.at(below).seconds
            axes.plot([below / _UNIT], [at], color=look.colour, zorder=4, **_CROSSING)
    axes.axvline(_asked(costs) / _UNIT, zorder=1, **_ASKED)
    axes.set(xscale="log", yscale="log", xlim=(low / _UNIT, high / _UNIT))
    for axis in (axes.xaxis, axes.yaxis):
        plain_powers(axis)
    finish(axes)


def _rounds(costs: Costs, line: CostLine) -> float | None:
    """Return by how much a step counts."""
    return line.rounds_to_target if costs.rounds else 1.0


def _asked(costs: Costs) -> float:
    return Network.parse(costs.network).between.bandwidth


def _range(costs: Costs) -> tuple[float, float]:
    """Return the ends of the axis, in bit/s."""
    known = [line.overlapped.pays_below for line in costs.lines if line is not costs.reference]
    places = [_asked(costs), *(each for each in known if each)]
    return min(places) / _BEYOND, max(places) * _BEYOND


def _handles(costs: Costs, looks: Mapping[str, Curve]) -> dict[str, Artist]:
    """Return what the legend names."""
    drawn = {line.group for line in costs.lines if _rounds(costs, line) is not None}
    handles: dict[str, Artist] = {
        look.label: Line2D([], [], **look.style) for group, look in looks.items() if group in drawn
    }
    if any(line.overlapped.pays_below for line in costs.lines):
        handles["break-even"] = Line2D([], [], color="#000000", **_CROSSING)
    handles[bit_rate(_asked(costs))] = Line2D([], [], **_ASKED)
    return handles
