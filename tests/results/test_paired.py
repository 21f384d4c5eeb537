from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from regtopk_bench.results.paired import paired_t, seeds_needed, signed_rank, spread_of


@pytest.mark.parametrize("seeds", [2, 5, 6, 20, 51, 199])
def test_tests_are_those_of_scipy(seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(0.3, 1.0, seeds)
    assert paired_t(values) == pytest.approx(scipy.stats.ttest_1samp(values, 0.0).pvalue)
    exact = scipy.stats.wilcoxon(values, method="exact").pvalue
    assert signed_rank(values) == pytest.approx(exact)


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


def test_differences_that_are_all_alike_are_tested_by_their_signs() -> None:
    by_signs = scipy.stats.binomtest(4, 4, 0.5).pvalue
    assert (paired_t(np.ones(4)), signed_rank(np.ones(4))) == (by_signs, by_signs)
    assert (paired_t(np.zeros(4)), signed_rank(np.zeros(4))) == (1.0, 1.0)


def test_differences_that_are_alike_but_for_rounding_have_no_spread() -> None:
    rounded = np.array([0.7 - 0.2, 0.6 - 0.1, 0.5, 0.9 - 0.4])
    assert rounded.std() > 0.0
    assert spread_of(rounded) == 0.0
    assert paired_t(rounded) == 0.125


def test_coarse_values_have_a_least_spread() -> None:
    values = np.array([2.0, 2.0, 2.0])
    t = 2.0 / (0.5 / math.sqrt(3))
    assert paired_t(values, 0.5) == pytest.approx(2 * scipy.stats.t.sf(t, 2))
    spread = np.array([1.0, 2.0, 3.0])
    assert paired_t(spread, 0.5) == pytest.approx(scipy.stats.ttest_1samp(spread, 0.0).pvalue)


def power(effect: float, seeds: int, level: float) -> float:
    critical = scipy.stats.t.isf(level / 2, seeds - 1)
    return float(scipy.stats.nct.sf(critical, seeds - 1, effect * math.sqrt(seeds)))


@pytest.mark.parametrize("level", [0.05, 0.05 / 6])
@pytest.mark.parametrize("effect", [0.05, 0.2, 0.5, 0.8, 1.5, 5.0, 40.0])
def test_so_many_seeds_have_the_power_and_one_less_has_not(effect: float, level: float) -> None:
    values = np.array([-1.0, 0.0, 1.0]) + effect
    found = seeds_needed(values, level)
    assert found is not None
    assert power(effect, found, level) >= 0.8
    assert found == 2 or power(effect, found - 1, level) < 0.8


def test_the_power_is_that_of_experiments() -> None:
    """A textbook's figure, too: an effect of half a standard deviation takes 34 pairs."""
    found = seeds_needed(np.array([-1.0, 0.0, 1.0]) + 0.5, 0.05)
    assert found == 34
    values = np.random.default_rng(0).normal(0.5, 1.0, (4000, 34))
    share = (scipy.stats.ttest_1samp(values, 0.0, axis=1).pvalue <= 0.05).mean()
    assert share == pytest.approx(0.8, abs=0.03)


def test_where_no_number_of_seeds_is_enough() -> None:
    assert seeds_needed(np.array([1.0, -1.0]), 0.05) is None
    assert seeds_needed(np.array([1.0, -1.0]) + 1e-4, 0.05) is None
    assert seeds_needed(np.zeros(3), 0.05) is None


def test_where_nothing_is_known_of_the_spread_signs_decide() -> None:
    found = seeds_needed(np.full(3, -2.0), 0.05)
    assert found == 6
    assert scipy.stats.binomtest(6, 6, 0.5).pvalue <= 0.05 < scipy.stats.binomtest(5, 5).pvalue
