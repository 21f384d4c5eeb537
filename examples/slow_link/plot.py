"""Draw what `compare.py` measured: `python examples/slow_link/plot.py A.json B.json OUT.png`.

Where test accuracy was looked at, it is drawn against the clock; elsewhere, seconds per round are.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from regtopk_bench.algorithms import algorithm

COLUMNS = 2
OTHERS = {"fp16": ("fp16", "#009E73", (3, 1, 1, 1)), "powersgd": ("PowerSGD", "#CC79A7", (6, 2))}
"""Label, colour and dash of the hooks that come with PyTorch."""


def look(hook: str) -> tuple[str, str, tuple[float, ...]]:
    """Return label, colour and dash of a hook."""
    if hook in OTHERS:
        return OTHERS[hook]
    row = algorithm(hook)
    return row.label, row.colour, row.dash


def draw_accuracy(axes: Axes, compared: Mapping[str, Any]) -> None:
    for each in compared["hooks"]:
        label, colour, dash = look(each["hook"])
        _, seconds, accuracy = zip(*each["evaluations"], strict=True)
        percent = [100.0 * value for value in accuracy]
        axes.plot(seconds, percent, color=colour, dashes=dash or (None, None), label=label)
    axes.axhline(100.0 * compared["until"], color="0.7", linewidth=0.6, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("test accuracy in %")
    axes.legend(frameon=False)


def draw_rounds(axes: Axes, compared: Mapping[str, Any]) -> None:
    labels, colours, _ = zip(*(look(each["hook"]) for each in compared["hooks"]), strict=True)
    medians = [statistics.median(each["seconds"]) for each in compared["hooks"]]
    bars = axes.barh(labels, medians, color=colours)
    axes.bar_label(bars, [f"{each:.3g}" for each in medians], padding=2)
    axes.set_xlim(0.0, 1.15 * max(medians))
    axes.invert_yaxis()
    axes.set_xlabel("seconds per round, median")


def titled(compared: Mapping[str, Any]) -> str:
    rate = compared["rate"]
    link = f"{rate.removesuffix('mbit')} Mbit/s" if rate else "no limit"
    size = compared["hooks"][0]["parameters"]
    return f"{compared['model']} ({size / 1e6:.3g}M parameters), {link}"


def main() -> None:
    *sources, target = map(Path, sys.argv[1:])
    matplotlib.rcParams.update({"font.size": 8, "axes.titlesize": 8})
    rows = -(-len(sources) // COLUMNS)
    figure = Figure(figsize=(7.16, 2.5 * rows), layout="constrained", dpi=160)
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes, source in zip(panels.flat, sources, strict=False):
        compared = json.loads(source.read_text())
        timed = all(each["evaluations"] for each in compared["hooks"])
        (draw_accuracy if timed else draw_rounds)(axes, compared)
        axes.set_title(titled(compared))
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target)


if __name__ == "__main__":
    main()
