from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from regtopk_bench.results import Run
from regtopk_bench.results.summary import (
    compare,
    density_of,
    estimate,
    first_round,
    groups,
    log10,
    mean_if_all,
    median_interval,
    paired_t,
    sent_bytes,
    sent_bytes_to,
    signed_rank,
)
from tests.results import samples


def run(algorithm: str, seed: int, gap: float) -> Run:
    return samples.run(algorithm, seed, gaps=[1.0, gap])


def log10_gap(run: Run) -> float:
    return math.log10(run.metrics["gap"])


def test_runs_are_grouped_by_all_but_the_seed() -> None:
    runs = [run("topk", 0, 1.0), run("regtopk", 0, 1.0), run("topk", 1, 2.0)]
    found = groups(runs)
    assert [(group.cell.algorithm, list(group.by_seed)) for group in found] == [
        ("topk", [0, 1]),
        ("regtopk", [0]),
    ]
    assert found[0].values("gap").tolist() == [1.0, 2.0]
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
    assert sent_bytes_to(samples.run("pkg.Mine", coordination=8), 2) == 64.0
    assert sent_bytes_to(samples.run("topk"), None) is None


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


@pytest.mark.parametrize("seeds", [2, 5, 6, 20, 51, 199])
def test_intervals_and_tests_are_those_of_scipy(seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(0.3, 1.0, seeds)
    assert paired_t(values) == pytest.approx(scipy.stats.ttest_1samp(values, 0.0).pvalue)
    exact = scipy.stats.wilcoxon(values, method="exact").pvalue
    assert signed_rank(values) == pytest.approx(exact)
    outside = max(0, int(scipy.stats.binom.ppf(0.025, seeds, 0.5)) - 1)
    ordered = np.sort(values)
    assert median_interval(values) == (ordered[outside], ordered[-1 - outside])


def test_many_differences_are_tested_by_the_normal_limit() -> None:
    values = np.random.default_rng(0).integers(-5, 7, 2000).astype(float)
    limit = scipy.stats.wilcoxon(values, method="asymptotic").pvalue
    assert signed_rank(values) == pytest.approx(limit)


def test_equal_differences_are_tested_exactly() -> None:
    values = np.array([1.0, 1.0, -1.0, 2.0, 2.0, 3.0, 0.0])
    ranks = scipy.stats.rankdata(np.abs(values[:-1]))
    sums = [np.dot(ranks, signs) for signs in itertools.product((0, 1), repeat=6)]
    observed = ranks[2]
    assert signed_rank(values) == pytest.approx(2 * np.mean(np.array(sums) <= observed))


def test_differences_that_are_all_alike() -> None:
    assert (paired_t(np.ones(4)), signed_rank(np.ones(4))) == (0.0, 2 * 0.5**4)
    assert (paired_t(np.zeros(4)), signed_rank(np.zeros(4))) == (1.0, 1.0)


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
