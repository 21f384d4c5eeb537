"""The plot of timed kernels."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from regtopk_bench.report.figures import Page
from regtopk_bench.report.throughput import throughput_figure
from regtopk_bench.results import Run
from tests.report.test_kernels import timed
from tests.results.samples import result

CASES = [("numba", case) for case in ("warm", "sampled", "missed", "cold")]
RIVALS = [("torch.topk", ""), ("torch.kthvalue", ""), ("numpy.argpartition", "")]


def steps(dims: Sequence[int], densities: Sequence[float]) -> list[Run]:
    """Return steps of all candidates; every one is slower than the one before."""
    return [
        timed("step", name, case, seconds=[0.002 * (number + 1)] * 4, dim=dim, density=density)
        for dim in dims
        for density in densities
        for number, (name, case) in enumerate([*CASES, *RIVALS])
    ]


def draw(runs: Sequence[Run], width: str = "double") -> Figure:
    return throughput_figure(result(runs, "kernels"), Page(width))


def bars(figure: Figure) -> list[list[float]]:
    """Return the widths of the bars of each panel."""
    return [
        [
            bar.get_width()
            for group in axes.containers
            if isinstance(group, BarContainer)
            for bar in group
        ]
        for axes in figure.axes
    ]


def texts(figure: Figure, panel: int) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].texts]


@pytest.mark.parametrize("width", ["single", "double"])
def test_one_size_and_one_density_are_bars_with_names_and_values(width: str) -> None:
    figure = draw(steps([1_000_000], [0.01]), width)
    speeds, shares = bars(figure)
    assert speeds == pytest.approx([12e6 / (0.002 * each) / 1e9 for each in range(1, 8)])
    assert shares == pytest.approx([50.0 / each for each in range(1, 8)])
    assert texts(figure, 0)[0] == "numba, warm: 6"
    assert texts(figure, 1)[-1] == "numpy.argpartition: 7.14"
    limit = figure.axes[0].lines[0].get_xdata()
    assert list(limit) == pytest.approx([12.0, 12.0])  # type: ignore[call-overload]
    assert [text.get_text() for text in figure.legends[0].texts] == ["memory limit"]


def test_one_density_of_several_sizes_has_curves_beside_its_bars() -> None:
    figure = draw(steps([1000, 1_000_000], [0.01]))
    speeds, shares = bars(figure)
    assert (len(speeds), len(shares)) == (0, 7)
    assert len(figure.axes[0].lines) == 8
    assert len(figure.legends[0].texts) == 8


def test_several_sizes_and_densities_have_curves_that_differ_without_colour() -> None:
    figure = draw(steps([1000, 1_000_000], [0.1, 0.01]))
    assert bars(figure) == [[], []]
    markers = [line.get_marker() for line in figure.axes[1].lines]
    assert len(set(markers)) == len(markers) == 7


@pytest.mark.parametrize("runs", [[], [timed("select")]])
def test_without_steps_the_panels_are_empty(runs: list[Run]) -> None:
    figure = draw(runs)
    assert [len(axes.lines) for axes in figure.axes] == [1, 0]
