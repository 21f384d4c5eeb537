from __future__ import annotations

from pathlib import Path

import pytest

from regtopk_bench.algorithms import ALGORITHMS
from regtopk_bench.report.curves import curves
from regtopk_bench.report.reports import plot
from regtopk_bench.results import Result
from tests.report.test_figures import texts
from tests.results.samples import cell, image_run, result, run

NAMES = ["pkg.Mine", *reversed(ALGORITHMS)]

RESULTS = {
    "linreg": result([run(name, seed) for name in NAMES for seed in (0, 1)]),
    "cifar": result([image_run(name, seed) for name in NAMES for seed in (0, 1)], "cifar"),
    "toy": result([run(name, traces={"loss": [3.0, 2.0, 1.0]}) for name in NAMES], "toy"),
}


@pytest.mark.parametrize("command", RESULTS)
def test_every_algorithm_is_drawn_and_named(command: str, tmp_path: Path) -> None:
    picture = plot(RESULTS[command], tmp_path, "png")
    assert picture is not None
    assert picture.read_bytes().startswith(b"\x89PNG")
    drawn = plot(RESULTS[command], tmp_path, "svg")
    assert drawn is not None
    shown = texts(drawn)
    assert all(row.label in shown for row in ALGORITHMS.values())
    assert "Mine" in shown


def test_the_legend_is_in_the_order_of_the_rows_and_others_follow(tmp_path: Path) -> None:
    looks = curves(cell(name) for name in NAMES)
    assert [look.label for look in looks.values()] == [
        *(row.label for row in ALGORITHMS.values()),
        "Mine",
    ]
    drawn = plot(RESULTS["linreg"], tmp_path, "svg")
    assert drawn is not None
    names = [look.label for look in looks.values()]
    assert texts(drawn)[-len(names) - 1 :] == [*names, "95 % CI of the mean, 2 seeds"]


def test_two_configurations_share_a_colour_and_nothing_else(tmp_path: Path) -> None:
    runs = [run("regtopk", mu=mu) for mu in (4, 8)]
    first, second = curves(each.cell for each in runs).values()  # type: ignore[misc]
    assert first.colour == second.colour
    assert (first.dash, first.label) != (second.dash, second.label)
    assert first.dash == ALGORITHMS["regtopk"].dash
    drawn = plot(result(runs), tmp_path, "svg")
    assert drawn is not None
    assert {"RegTop-k, mu=4", "RegTop-k, mu=8"} <= set(texts(drawn))


def test_a_configuration_looks_the_same_at_every_density() -> None:
    looks = list(curves([cell("regtopk", density=0.5), cell("regtopk", density=0.25)]).values())
    assert looks[0] == looks[1]


def test_dots_are_drawn_over_the_lines_that_they_would_vanish_behind() -> None:
    looks = curves(cell(name) for name in ALGORITHMS).values()
    heights = {look.label: look.style["zorder"] for look in looks}
    assert max(heights, key=heights.__getitem__) == "dense"
    assert heights["RegTop-k"] < heights["Top-k"]


def test_many_configurations_have_a_legend_of_several_lines(tmp_path: Path) -> None:
    many = result([run("regtopk", mu=0.001 * mu, q=1.5 * mu) for mu in range(12)])
    drawn = plot(many, tmp_path, "svg")
    assert drawn is not None
    assert "RegTop-k, mu=0.011, q=16.5" in texts(drawn)


@pytest.mark.parametrize("runs", [[run(gaps=[], status="failed")], [run("dense")]])
def test_a_plot_of_little_is_drawn(runs: list[Result], tmp_path: Path) -> None:
    assert plot(result(runs), tmp_path, "png") is not None  # type: ignore[arg-type]


def test_nothing_is_drawn_of_no_runs(tmp_path: Path) -> None:
    assert plot(result([]), tmp_path, "png") is None
