from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from regtopk_bench.results import Run
from regtopk_bench.results.summary import (
    density_of,
    estimate,
    first_round,
    groups,
    log10,
    median_interval,
    received_bytes,
    sent_bytes,
)
from tests.results import samples


def run(algorithm: str, seed: int, gap: float) -> Run:
    return samples.run(algorithm, seed, gaps=[1.0, gap])


def test_runs_are_grouped_by_all_but_the_seed() -> None:
    runs = [run("topk", 0, 1.0), run("regtopk", 0, 1.0), run("topk", 1, 2.0)]
    found = groups(runs)
    assert [(group.cell.algorithm, list(group.by_seed)) for group in found] == [
        ("topk", [0, 1]),
        ("regtopk", [0]),
    ]
    assert found[0].mean_log10_trace("gap").tolist() == [0.0, pytest.approx(np.log10(2) / 2)]


def test_configurations_that_differ_in_a_parameter_are_groups_of_their_own() -> None:
    runs = [samples.run("regtopk", seed, mu=mu) for mu in (4, 8) for seed in (0, 1)]
    assert [group.cell.sparsifier["mu"] for group in groups(runs)] == [4, 8]


def test_density_is_what_was_given_or_follows_from_k() -> None:
    assert density_of(samples.run("topk", density=0.3)) == 0.3
    assert density_of(samples.run("topk", k=1)) == 0.25
    assert density_of(samples.run("dense")) == 1.0
    assert density_of(samples.run("pkg.Threshold", density=None)) == 1.0


def test_what_a_worker_sends_includes_coordination() -> None:
    assert sent_bytes(samples.run("topk", coordination=8)).tolist() == [32.0, 32.0, 32.0]
    assert received_bytes(samples.run("topk")).tolist() == [32.0, 32.0, 32.0]


def test_what_a_bound_that_no_system_reaches_would_have_to_send_is_not_counted() -> None:
    assert sent_bytes(samples.run("oracle", coordination=8)).tolist() == [24.0, 24.0, 24.0]


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
    assert found.n == 4


@pytest.mark.parametrize("seeds", [2, 5, 6, 20, 51, 199])
def test_the_interval_of_the_median_is_by_the_binomial(seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(0.3, 1.0, seeds)
    outside = max(0, int(scipy.stats.binom.ppf(0.025, seeds, 0.5)) - 1)
    ordered = np.sort(values)
    expected = (ordered[outside], ordered[-1 - outside]) if seeds > 5 else None
    assert median_interval(values) == expected


def test_log10_of_zero_can_be_drawn() -> None:
    assert log10(np.array([0.0, 10.0])).tolist() == [pytest.approx(-307.65, abs=0.01), 1.0]
    assert math.isnan(log10(np.array([math.nan]))[0])


def test_the_first_round_that_holds() -> None:
    assert first_round(np.array([3.0, 1.0, 0.5]) <= 1.0) == 2
    assert first_round(np.array([np.nan, 0.4, np.nan, 0.6]) >= 0.5) == 4
    assert first_round(np.array([3.0, 1.0]) <= 0.1) is None
    assert first_round(np.array([]) <= 1.0) is None


def test_a_mean_needs_a_finite_value_of_every_run() -> None:
    one = estimate(np.array([3.0]))
    assert (one.mean, one.n) == (3.0, 1)
    assert one.half_width is None
    for odd in (math.nan, math.inf, -math.inf):
        found = estimate(np.array([1.0, odd, 2.0]))
        assert math.isnan(found.mean)
        assert found.half_width is None
        assert found.n == 2
    assert estimate(np.array([])).n == 0


def test_coarse_values_widen_the_interval() -> None:
    assert estimate(np.array([2.0, 2.0])).half_width == 0.0
    expected = scipy.stats.t.ppf(0.975, 1) * 0.5 / math.sqrt(2)
    assert estimate(np.array([2.0, 2.0]), 0.5).half_width == pytest.approx(expected)


def test_means_are_over_the_runs_that_finished_or_else_over_those_that_were_stopped() -> None:
    statuses = ["stopped", "finished", "diverged", "failed"]
    runs = [samples.run(seed=seed, status=status) for seed, status in enumerate(statuses)]
    (group,) = groups(runs)
    assert list(group.counted) == [1]
    (group,) = groups(runs[:1] + runs[2:])
    assert list(group.counted) == [0]
    (group,) = groups(runs[2:])
    assert group.counted == {}


def test_curves_and_speeds_are_of_the_runs_that_means_are_over() -> None:
    ended = samples.run(seed=0)
    stopped = samples.run(seed=1, gaps=[1.0], status="stopped")
    diverged = samples.run(seed=2, gaps=[1.0, 1e9], status="diverged")
    slow = diverged.model_copy(update={"execution": {"processes": 1, "rounds_per_second": 1.0}})
    (group,) = groups([ended, stopped, slow])
    assert group.drawn == [ended]
    assert group.mean_log10_trace("gap").tolist() == pytest.approx([0.0, -1.0, -2.0])
    assert group.execution("rounds_per_second").tolist() == [100.0]
    (group,) = groups([slow])
    assert group.drawn == [slow]
    assert group.execution("rounds_per_second").tolist() == []
