"""The plot of seconds a step against the bandwidth."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regtopk_bench.report.figures import Page, style
from regtopk_bench.report.step_plot import cost_figure
from regtopk_bench.results.costs import Costs, Rounds
from tests.results.costed import OTHER, costs, entry


def draw(found: Costs, width: str = "double") -> Figure:
    with style():
        return cost_figure(found, Page(width))


def curves(figure: Figure, panel: int = 0) -> list[Line2D]:
    return [line for line in figure.axes[panel].lines if len(np.asarray(line.get_xdata())) > 2]


def points(figure: Figure, panel: int = 0) -> list[tuple[float, float]]:
    lines = [line for line in figure.axes[panel].lines if len(np.asarray(line.get_xdata())) == 1]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]  # type: ignore[index]


def named(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].texts]


def test_a_curve_is_the_time_at_every_bandwidth() -> None:
    found = costs(entry(), entry(OTHER))
    figure = draw(found)
    assert named(figure) == ["dense", "Top-k", "RegTop-k", "break-even", "1 Gbit/s"]
    for curve, line in zip(curves(figure), found.lines, strict=True):
        gigabits, seconds = (np.asarray(each) for each in curve.get_data())
        step = found.step(line.footprint, overlapped=True)
        expected = [step.at(1e9 * each).seconds for each in gigabits.tolist()]
        assert seconds.tolist() == pytest.approx(expected)
        assert gigabits[0] < 1.0 < gigabits[-1]


def test_break_even_is_marked_where_curves_cross() -> None:
    found = costs(entry())
    ((gigabits, seconds),) = points(draw(found))
    assert 1e9 * gigabits == pytest.approx(found.lines[1].overlapped.pays_below)
    theirs = found.step(found.reference.footprint, overlapped=True).at(1e9 * gigabits)
    assert seconds == pytest.approx(theirs.seconds)


def test_what_never_pays_has_no_mark() -> None:
    figure = draw(costs(entry(size=200e6)))
    assert points(figure) == []
    assert "break-even" not in named(figure)


@pytest.mark.parametrize(("width", "rows"), [("double", 2), ("single", 3)])
def test_each_density_has_a_panel_with_the_reference(width: str, rows: int) -> None:
    densities = (0.01, 0.003, 0.001)
    entries = [entry({"algorithm": "topk", "density": each}) for each in densities]
    figure = draw(costs(*entries), width)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [
        f"density {density:g}" for density in densities
    ]
    assert all(len(curves(figure, panel)) == 2 for panel in range(3))
    assert len({axes.get_position().y0 for axes in figure.axes}) == rows


def test_with_a_result_it_is_the_time_to_the_target() -> None:
    told = Rounds(result="runs/A", target="70 %", workers=4)
    found = costs(entry(rounds=100.0), entry(OTHER, in_result=True), reference=50.0, rounds=told)
    figure = draw(found)
    assert figure.axes[0].get_ylabel() == "s to 70 %, overlapped"
    assert named(figure)[:2] == ["dense", "Top-k"]  # the other did not reach it
    whole, sparse = (np.asarray(curve.get_ydata()) for curve in curves(figure))
    assert whole[-1] == pytest.approx(50.0 * 0.3, rel=1e-3)
    assert sparse[-1] == pytest.approx(100.0 * 0.35, rel=1e-3)


def test_the_link_of_a_node_is_named() -> None:
    figure = draw(costs(entry(), network="4x100gbit:1us,1gbit:1ms"))
    assert figure.axes[0].get_xlabel() == "bandwidth between nodes, Gbit/s"
    assert draw(costs(entry())).axes[0].get_xlabel() == "bandwidth, Gbit/s"
