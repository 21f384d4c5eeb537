"""Curves with fewer points look the same."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from regtopk_bench.report.thinning import thin

ROUNDS = 5000
DRAW = np.random.default_rng(0)
CURVES = {
    "smooth": np.linspace(0.0, -9.0, ROUNDS) + np.sin(np.linspace(0.0, 9.0, ROUNDS)),
    "noisy": DRAW.normal(0.0, 1.0, ROUNDS),
    "spikes": np.where(np.arange(ROUNDS) % 700 == 5, -5.0, 0.0),
    "gap": np.where(
        np.abs(np.arange(ROUNDS) - 2000) < 300, np.nan, np.arange(ROUNDS) % 500 / 100.0
    ),
    "nothing": np.full(ROUNDS, np.nan),
}


def figure(curve: NDArray[np.float64]) -> Figure:
    drawn = Figure(figsize=(3, 2))
    axes = drawn.subplots()
    axes.plot(np.arange(1, ROUNDS + 1), curve)
    axes.fill_between(np.arange(1, ROUNDS + 1), curve - 1.0, curve + 2.0, alpha=0.3)
    return drawn


def pixels(drawn: Figure) -> NDArray[np.float64]:
    content = io.BytesIO()
    drawn.savefig(content, format="png", dpi=150)
    return np.asarray(Image.open(content).convert("L"), dtype=np.float64)


@pytest.mark.parametrize("name", CURVES)
def test_it_looks_the_same_with_fewer_points(name: str) -> None:
    whole, fewer = figure(CURVES[name]), figure(CURVES[name])
    thin(fewer)
    assert fewer.axes[0].viewLim.bounds == pytest.approx(whole.axes[0].viewLim.bounds)
    (line,) = fewer.axes[0].lines
    assert len(np.asarray(line.get_xdata())) <= 2000
    difference = np.abs(pixels(whole) - pixels(fewer))
    assert difference.mean() < 2.0  # of 255
    assert (difference > 128).mean() < 0.002


def test_the_lowest_and_the_highest_point_stay() -> None:
    for name in ("noisy", "spikes"):
        drawn = figure(CURVES[name])
        thin(drawn)
        left = np.asarray(drawn.axes[0].lines[0].get_ydata())
        assert np.nanmin(left) == pytest.approx(CURVES[name].min(), abs=0.05)
        assert np.nanmax(left) == pytest.approx(CURVES[name].max(), abs=0.05)


def test_few_points_stay_as_they_are() -> None:
    drawn = Figure()
    (line,) = drawn.subplots().plot([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "o-")
    thin(drawn)
    assert np.asarray(line.get_xdata()).tolist() == [1.0, 2.0, 3.0]
