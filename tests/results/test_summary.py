from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from regtopk_bench.results import Run
from regtopk_bench.results.summary import compare, estimate, first_round, groups, log10, mean_if_all


def run(algorithm: str, seed: int, gap: float) -> Run:
    return Run(
        cell={"algorithm": algorithm, "density": 0.5, "seed": seed},
        status="finished",
        metrics={"gap": gap},
        traces={"gap": [1.0, gap]},
        execution={},
    )


def log10_gap(run: Run) -> float:
    return math.log10(run.metrics["gap"])


def test_runs_are_grouped_by_all_but_the_seed() -> None:
    runs = [run("topk", 0, 1.0), run("regtopk", 0, 1.0), run("topk", 1, 2.0)]
    found = groups(runs)
    assert [(group.cell["algorithm"], len(group.runs)) for group in found] == [
        ("topk", 2),
        ("regtopk", 1),
    ]
    assert found[0].values("gap").tolist() == [1.0, 2.0]
    assert found[0].mean_log10_trace("gap").tolist() == [0.0, pytest.approx(np.log10(2) / 2)]


def test_the_interval_is_students() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.5])
    low, high = scipy.stats.t.interval(
        0.95, 3, loc=values.mean(), scale=values.std(ddof=1) / np.sqrt(4)
    )
    found = estimate(values)
    assert found.half_width is not None
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(
        (low, high)
    )
    assert estimate(values[:1]).half_width is None


def test_comparison_pairs_by_seed() -> None:
    first = groups([run("regtopk", seed, 10.0 ** -(seed + 3)) for seed in (0, 1, 2, 9)])[0]
    second = groups([run("topk", seed, 10.0 ** -(seed + 1.5 * seed % 1)) for seed in (2, 1, 0)])[0]
    found = compare(first, second, log10_gap)
    assert found is not None
    ours = np.array([-3.0, -4.0, -5.0])
    theirs = np.array([-0.0, -1.5, -2.0])
    assert found.seeds == 3
    assert found.difference.mean == pytest.approx((ours - theirs).mean())
    assert found.p_t == pytest.approx(scipy.stats.ttest_rel(ours, theirs).pvalue)
    assert found.p_wilcoxon == pytest.approx(scipy.stats.wilcoxon(ours - theirs).pvalue)


def test_comparison_needs_two_common_seeds_and_survives_equality() -> None:
    one = groups([run("topk", 0, 1.0)])[0]
    assert compare(one, one, log10_gap) is None
    two = groups([run("topk", 0, 1.0), run("topk", 1, 2.0)])[0]
    equal = compare(two, two, log10_gap)
    assert equal is not None
    assert (equal.difference.mean, equal.p_t, equal.p_wilcoxon) == (0.0, 1.0, 1.0)


def test_log10_of_zero_can_be_drawn() -> None:
    assert log10(np.array([0.0, 10.0])).tolist() == [pytest.approx(-307.65, abs=0.01), 1.0]
    assert math.isnan(log10(np.array([math.nan]))[0])


def test_the_first_round_that_holds() -> None:
    assert first_round(np.array([3.0, 1.0, 0.5]) <= 1.0) == 2
    assert first_round(np.array([np.nan, 0.4, np.nan, 0.6]) >= 0.5) == 4
    assert first_round(np.array([3.0, 1.0]) <= 0.1) is None
    assert first_round(np.array([]) <= 1.0) is None


def test_a_mean_needs_all_values() -> None:
    assert mean_if_all([1.0, 2.0]) == 1.5
    assert mean_if_all([1.0, None]) is None
    assert mean_if_all([]) is None
