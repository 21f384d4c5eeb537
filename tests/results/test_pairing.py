"""Two results paired: by cell, by seed, and across one changed setting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from regtopk_bench.results import Run
from regtopk_bench.results.baseline import baseline_cell
from regtopk_bench.results.pairing import Line, Measured, Pairing, measured, paired
from tests.results.samples import LINREG, RECIPE, TIMED, cell, image_run, run, timed


def pairing(first: list[Run], second: list[Run]) -> Pairing:
    return paired(list(map(measured, first)), list(map(measured, second)))


def line(found: Pairing, name: str, metric: str) -> Line:
    (one,) = [each for each in found.lines if (each.name, each.metric) == (name, metric)]
    return one


def test_equal_results_have_no_difference() -> None:
    runs = [run(name, seed) for name in ("dense", "topk") for seed in (0, 1)]
    found = pairing(runs, runs)
    assert all(each.same and each.first == each.second for each in found.lines)
    assert {each.name for each in found.lines} == {"linreg/dense", "linreg/topk/density=0.5"}
    assert {each.seeds for each in found.lines} == {2}
    assert (found.differing, found.unpaired) == ({}, [])


def test_differences_are_paired_by_seed_with_an_interval() -> None:
    before = [1e-2, 1e-3, 1e-5]
    after = [1e-3, 1e-5, 1e-6]
    found = pairing(
        [run(seed=seed, gaps=[1.0, gap]) for seed, gap in enumerate(before)],
        [run(seed=seed, gaps=[1.0, gap]) for seed, gap in enumerate(after)][::-1],
    )
    one = line(found, "linreg/topk/density=0.5", "log10_gap")
    differences = np.log10(after) - np.log10(before)
    expected = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    assert one.first == pytest.approx(np.log10(before).mean())
    assert one.second == pytest.approx(np.log10(after).mean())
    assert one.difference is not None
    assert one.difference.half_width is not None
    assert one.difference.mean == pytest.approx(differences.mean())
    assert one.difference.mean + one.difference.half_width == pytest.approx(expected.high)
    assert not one.same


def test_differences_that_cancel_are_not_the_same() -> None:
    found = pairing(
        [run(seed=0, gaps=[1e-2]), run(seed=1, gaps=[1e-3])],
        [run(seed=0, gaps=[1e-3]), run(seed=1, gaps=[1e-2])],
    )
    one = line(found, "linreg/topk/density=0.5", "log10_gap")
    assert one.difference is not None
    assert one.difference.mean == pytest.approx(0.0)
    assert not one.same


def test_only_seeds_of_both_count() -> None:
    found = pairing(
        [run(seed=seed, gaps=[10.0**-seed]) for seed in (1, 2, 3)],
        [run(seed=seed, gaps=[10.0**-seed]) for seed in (2, 3, 4)],
    )
    one = line(found, "linreg/topk/density=0.5", "log10_gap")
    assert (one.first, one.second, one.seeds, one.same) == (-2.5, -2.5, 2, True)
    assert found.unpaired == [("linreg/topk/density=0.5", [1], [4])]


def test_what_only_one_has_is_there() -> None:
    found = pairing([run("dense"), run("topk")], [run("topk"), run("regtopk", mu=4.0)])
    alone = {(each.name, each.first is None) for each in found.lines if each.difference is None}
    assert alone == {("linreg/dense", False), ("linreg/regtopk/density=0.5", True)}
    apart = pairing([run(seed=0)], [run(seed=1)])
    assert all(each.difference is None for each in apart.lines)
    assert apart.unpaired == [("linreg/topk/density=0.5", [0], [1])]


def test_a_metric_that_only_one_has() -> None:
    found = pairing([run(metrics={"bonus": 3})], [run()])
    one = line(found, "linreg/topk/density=0.5", "bonus")
    assert (one.first, one.second, one.difference) == (3.0, None, None)


def test_a_setting_in_which_all_cells_differ_is_disregarded() -> None:
    before = [run(name, recipe=RECIPE | {"learning_rate": 0.1}) for name in ("topk", "dense")]
    after = [run(name, recipe=RECIPE | {"learning_rate": 0.2}) for name in ("topk", "dense")]
    found = pairing(before, after)
    assert found.differing == {"learning_rate": (0.1, 0.2)}
    assert all(each.same for each in found.lines)
    mixed = pairing([*before, after[0]], after)
    assert mixed.differing == {}
    assert {each.name for each in mixed.lines if each.difference is None}
    assert sum(each.difference is not None for each in mixed.lines) == 4


def test_a_fact_that_only_one_result_knows_of_is_disregarded() -> None:
    found = pairing([run(problem=LINREG)], [run(problem=LINREG | {"noise": 1.0})])
    assert found.differing == {"noise": (None, 1.0)}
    assert all(each.same for each in found.lines)


def test_other_workloads_and_other_sizes_are_not_paired() -> None:
    assert not pairing([run()], [image_run()]).differing.keys() & {"workload"}
    assert all(each.difference is None for each in pairing([run()], [image_run()]).lines)


def test_kernels_are_paired_by_their_median() -> None:
    slow, fast = timed([0.5, 0.7, 0.6]), timed([0.2, 0.3, 0.4])
    threads = fast.cell.model_copy(update={"problem": {**TIMED, "threads": 4}})
    found = pairing([slow], [fast.model_copy(update={"cell": threads})])
    assert found.differing == {"threads": (2, 4)}
    (name,) = {each.name for each in found.lines}
    assert name == "kernels/step/numba, warm/normal/J=10/density=0.1"
    one = line(found, name, "median_seconds")
    assert (one.first, one.second) == (0.6, 0.3)


def test_a_baseline_is_paired_as_the_run_that_it_was_made_of() -> None:
    (one,) = [run()]
    found = paired([measured(baseline_cell("any", one))], [measured(one)])
    assert all(each.same for each in found.lines)
    assert "log10_gap" in {each.metric for each in found.lines}


def test_nothing_is_paired_with_nothing() -> None:
    assert pairing([], []) == Pairing([], {}, [])
    assert all(each.first is None for each in pairing([], [run()]).lines)


def test_what_is_no_number_in_both_is_the_same() -> None:
    one = Measured(cell(), {"loss": math.nan})
    (equal,) = paired([one], [one]).lines
    assert equal.same
    (other,) = paired([one], [Measured(cell(), {"loss": 1.0})]).lines
    assert not other.same
