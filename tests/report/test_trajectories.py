"""The bands of plots: the same intervals as in the tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from regtopk_bench.report.figures import Page
from regtopk_bench.report.plots import convergence_figure, image_figure
from regtopk_bench.report.trajectories import trajectory
from regtopk_bench.results import Run
from regtopk_bench.results.measures import final_accuracy
from regtopk_bench.results.summary import estimate, groups, log10
from tests.results.samples import image_run, result, run

DRAW = np.random.default_rng(0)
GAPS_SR = 10.0 ** DRAW.normal(-3.0, 2.0, (5, 40))


def band(figure: Figure, panel: int = 0) -> dict[float, tuple[float, float]]:
    """Return the ends of a panel's only band, by x."""
    (drawn,) = figure.axes[panel].collections
    (outline,) = drawn.get_paths()
    ends: dict[float, list[float]] = {}
    for x, y in np.asarray(outline.vertices):
        ends.setdefault(float(x), []).append(float(y))
    return {x: (min(values), max(values)) for x, values in ends.items()}


def test_the_band_of_gaps_is_the_interval_of_the_mean_of_their_logarithms() -> None:
    shown = result([run("topk", seed, gaps=gaps) for seed, gaps in enumerate(GAPS_SR.tolist())])
    (group,) = groups(shown.runs)
    figure = convergence_figure(shown, Page())
    ends = band(figure)
    assert list(ends)[:40] == list(range(1, 41))
    for round, gaps_S in enumerate(GAPS_SR.T, start=1):
        found = estimate(log10(gaps_S))
        assert found.half_width
        expected = (found.mean - found.half_width, found.mean + found.half_width)
        assert ends[round] == pytest.approx(expected)
    in_table = estimate(log10(np.array([each.metrics["gap"] for each in group.runs])))
    assert figure.axes[0].lines[0].get_ydata()[-1] == pytest.approx(in_table.mean)  # type: ignore[index]
    assert ends[40][1] - ends[40][0] == pytest.approx(2.0 * (in_table.half_width or math.nan))


def test_the_band_of_accuracies_is_that_of_the_table_in_percent() -> None:
    ends = ([math.nan, 0.5, 0.75], [math.nan, 0.4, 0.7], [math.nan, 0.55, 0.9])
    traces = [{"accuracy": end, "loss": end} for end in ends]
    runs = [
        image_run("topk", seed).model_copy(
            update={"traces": image_run().traces | own, "metrics": {
                **image_run().metrics, "accuracy": own["accuracy"][-1], "loss": own["loss"][-1]}}
        )
        for seed, own in enumerate(traces)
    ]  # fmt: skip
    shown = result(runs, "cifar")
    in_table = estimate(np.array([final_accuracy(each) for each in runs])).times(100.0)
    assert in_table.half_width
    found = band(image_figure(shown, Page()))
    assert list(found) == [2.0, 3.0]  # where it was evaluated
    assert found[3.0] == pytest.approx(
        (in_table.mean - in_table.half_width, in_table.mean + in_table.half_width)
    )


def test_one_seed_has_no_band_and_no_note_of_one() -> None:
    figure = convergence_figure(result([run("topk")]), Page())
    assert not figure.axes[0].collections
    assert [text.get_text() for text in figure.legends[0].texts] == ["Top-k"]


@pytest.mark.parametrize(("seeds", "said"), [((3, 3), "3 seeds"), ((3, 2), "2 to 3 seeds")])
def test_the_legend_says_what_the_band_is(seeds: tuple[int, int], said: str) -> None:
    names = zip(("topk", "regtopk"), seeds, strict=True)
    shown = result([run(name, seed) for name, count in names for seed in range(count)])
    legend = [text.get_text() for text in convergence_figure(shown, Page()).legends[0].texts]
    assert legend == ["Top-k", "RegTop-k", f"95 % CI of the mean, {said}"]


def test_the_axis_covers_all_values_though_two_seeds_have_a_band_without_end() -> None:
    runs = [run("topk", seed, gaps=[1.0, gap]) for seed, gap in enumerate((1e-2, 1e-4))]
    figure = convergence_figure(result(runs), Page())
    low, high = figure.axes[0].get_ylim()
    assert low < -4.0
    assert high > 0.0
    assert high - low < 6.0
    assert band(figure)[2.0][0] < -12.0  # Student's t of two seeds is 12.7


def gap(of: Run) -> NDArray[np.float64]:
    return np.array(of.traces["gap"])


def test_a_trajectory_is_of_the_runs_that_the_table_counts() -> None:
    other = [
        run("topk", 1, gaps=[1.0, 0.5], status="diverged"),
        run("topk", 2, gaps=[9.0], status="stopped"),
    ]
    (group,) = groups([run("topk", 0), *other])
    found = trajectory(group, gap)
    assert found.rounds_R.tolist() == [1, 2, 3]
    assert found.sent_R.tolist() == [24.0, 48.0, 72.0]
    assert found.mean_R.tolist() == [1.0, 0.1, 0.01]
    figure = convergence_figure(result([run("topk", 0), *other]), Page())
    assert not figure.axes[0].collections
    assert [text.get_text() for text in figure.legends[0].texts] == ["Top-k"]


def test_a_trajectory_ends_where_the_first_of_its_runs_does() -> None:
    (group,) = groups(
        [run("topk", 1, gaps=[1.0], status="failed"), run("topk", 0, status="failed")]
    )
    found = trajectory(group, gap)
    assert (found.rounds_R.tolist(), found.mean_R.tolist()) == ([1], [1.0])


def test_the_band_is_open_where_a_value_is_unknown() -> None:
    """A mean of some of the seeds is drawn nowhere, and nothing is shaded there."""
    gaps_SR = np.array(GAPS_SR[:3, :8])
    gaps_SR[1, 2:4] = math.nan
    runs = [run("topk", seed, gaps=gaps) for seed, gaps in enumerate(gaps_SR.tolist())]
    (drawn,) = convergence_figure(result(runs), Page()).axes[0].collections
    shaded = [sorted({float(x) for x, _ in np.asarray(p.vertices)}) for p in drawn.get_paths()]
    assert shaded == [[1.0, 2.0], [5.0, 6.0, 7.0, 8.0]]


def test_what_has_no_density_is_drawn_beside_every_density() -> None:
    runs = [run("dense"), run("pkg.Threshold", density=None), run("topk"), run("topk", density=1.0)]
    figure = convergence_figure(result(runs), Page())
    assert [axes.get_title("left") for axes in figure.axes] == ["density 0.5", "", "density 1", ""]
    assert [len(axes.lines) for axes in figure.axes] == [3, 3, 3, 3]
    alone = convergence_figure(result(runs[:2]), Page())
    assert [axes.get_title("left") for axes in alone.axes] == ["", ""]
