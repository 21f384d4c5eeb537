"""The plot of timed kernels: how fast a step is, by row size and by density."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regtopk_bench.report.figures import FONT, WIDTH, finish, literal, save
from regtopk_bench.report.kernels import (
    MEMORY_LIMIT,
    cell_of,
    name_of,
    quartiles,
    share_of_memory_limit,
)
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.values import Scalar

# Okabe and Ito's palette: distinct in any colour vision. Markers are distinct without colour.
_COLOURS = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
_MARKERS = "osD^v"
_MEMORY_LIMIT_STYLE: dict[str, Any] = {
    "color": "#000000",
    "linestyle": (0, (1, 1.2)),
    "linewidth": 1.8,
}


def throughput_plot(result: Result, path: Path) -> None:
    """Draw steps: GB/s against J, and the share of the memory limit against density.

    The first panel is at the first density, the second at the largest J, both for the first
    distribution; the suffix of the path sets the format.
    """
    steps = [run for run in result.runs if cell_of(run).candidate["operation"] == "step"]
    if steps:
        steps = _of(steps, "distribution", cell_of(steps[0]).problem["distribution"])
    with matplotlib.rc_context(FONT):
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        by_size, by_density = figure.subplots(1, 2)
        by_size.set(xlabel="J", ylabel="GB/s", xscale="log", yscale="log")
        by_density.set(xlabel="density", ylabel=f"% of {MEMORY_LIMIT}", xscale="log")
        if steps:
            _draw(steps, by_size, by_density)
            names = len({name_of(run) for run in steps})
            figure.legend(loc="outside upper center", ncols=names)
        by_density.set_ylim(0, None)
        for axes in (by_size, by_density):
            finish(axes)
            axes.margins(x=0.05)
        save(figure, path)


def _draw(steps: Sequence[Run], by_size: Axes, by_density: Axes) -> None:
    """Draw a curve per candidate into both panels, and the memory limit into the first."""
    density = cell_of(steps[0]).problem["density"]
    largest = max((cell_of(run).problem["dim"] for run in steps), key=lambda dim: int(dim or 0))
    at_density, at_largest = _of(steps, "density", density), _of(steps, "dim", largest)
    for number, name in enumerate(dict.fromkeys(map(name_of, steps))):
        style: dict[str, Any] = {
            "color": _COLOURS[number % len(_COLOURS)],
            "marker": _MARKERS[number % len(_MARKERS)],
        }
        own = [run for run in at_density if name_of(run) == name]
        speeds = [_speed(run, "moved_bytes", "seconds") for run in own]
        by_size.plot(_values(own, "dim"), speeds, label=literal(name), **style)
        own = [run for run in at_largest if name_of(run) == name]
        shares = [100.0 * share_of_memory_limit(run) for run in own]
        by_density.plot(_values(own, "density"), shares, **style)
    of_each_size = list({cell_of(run).problem["dim"]: run for run in at_density}.values())
    limits = [_speed(run, "memory_limit_bytes", "memory_limit_seconds") for run in of_each_size]
    by_size.plot(_values(of_each_size, "dim"), limits, label=MEMORY_LIMIT, **_MEMORY_LIMIT_STYLE)
    by_size.set_title(f"step, density {density:g}", loc="left")
    by_density.set_title(f"step, J = {largest:,}", loc="left")


def _of(runs: Sequence[Run], name: str, value: Scalar) -> list[Run]:
    """Return the runs whose problem has this value."""
    return [run for run in runs if cell_of(run).problem[name] == value]


def _values(runs: Sequence[Run], name: str) -> list[Any]:
    """Return what each run's problem has under this name."""
    return [cell_of(run).problem[name] for run in runs]


def _speed(run: Run, moved: str, seconds: str) -> float:
    """Return GB/s."""
    return float(run.metrics[moved] / quartiles(run.traces[seconds])[1] / 1e9)
