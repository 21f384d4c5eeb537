from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.ratios import Estimates, by_row

BOUND = math.log(1.1)


def paired(log_ratios: ArrayLike) -> Estimates:
    return Estimates.of(np.asarray(log_ratios))


def unpaired(now: Sequence[ArrayLike], before: Sequence[ArrayLike]) -> Estimates:
    return by_row(now).less(by_row(before))


def samples(pairs: int, rows: int = 3, sigma: float = 0.05) -> NDArray[np.float64]:
    return np.random.default_rng(pairs).normal(0.08, sigma, (pairs, rows))


@pytest.mark.parametrize("pairs", [2, 5, 30])
def test_p_of_pairs_is_that_of_scipy(pairs: int) -> None:
    values = samples(pairs)
    estimates = paired(values)
    above = scipy.stats.ttest_1samp(values, BOUND, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(values, -BOUND, alternative="less").pvalue
    assert estimates.p_above(BOUND) == pytest.approx(above)
    assert estimates.p_below(-BOUND) == pytest.approx(below)
    assert estimates.ratio == pytest.approx(scipy.stats.gmean(np.exp(values)))


@pytest.mark.parametrize("pairs", [2, 5, 30])
def test_the_interval_of_pairs_is_that_of_scipy(pairs: int) -> None:
    values = samples(pairs, rows=1)
    expected = scipy.stats.ttest_1samp(values[:, 0], 0.0).confidence_interval(0.98)
    assert np.log(paired(values).interval(0.01)) == pytest.approx(np.array(expected)[:, None])


@pytest.mark.parametrize(("now", "before"), [(2, 2), (4, 30), (30, 3)])
def test_p_without_pairs_is_welchs(now: int, before: int) -> None:
    first, second = samples(now)[:, 0], samples(before, sigma=0.2)[:, 1]
    found = unpaired([first], [second])
    expected = scipy.stats.ttest_ind(first - BOUND, second, equal_var=False, alternative="greater")
    assert found.p_above(BOUND) == pytest.approx(expected.pvalue)
    assert found.freedom == pytest.approx(expected.df)


def test_rows_may_have_samples_of_different_numbers() -> None:
    together = unpaired([samples(4)[:, 0], samples(7)[:, 1]], [samples(5)[:, 0], samples(9)[:, 1]])
    alone = unpaired([samples(7)[:, 1]], [samples(9)[:, 1]])
    assert together.error[1] == alone.error[0]
    assert together.take([1]).freedom == alone.freedom


def test_a_single_sample_says_nothing_of_noise() -> None:
    one = paired([[0.5, -0.5]])
    assert one.ratio == pytest.approx(np.exp([0.5, -0.5]))
    assert [ends.tolist() for ends in one.interval(0.01)] == [[0.0, 0.0], [math.inf, math.inf]]
    assert one.detectable(1.1, 0.01).tolist() == [math.inf, math.inf]
    assert (one.p_above(BOUND) > 0.4).all()
    mixed = unpaired([[0.5], [0.5, 0.5]], [[0.1, 0.2], [0.1]])
    assert [ends.tolist() for ends in mixed.interval(0.01)] == [[0.0, 0.0], [math.inf, math.inf]]


def test_identical_figures_are_certain() -> None:
    same = paired([[0.0, 0.5, -0.5]] * 2)
    assert same.p_above(BOUND).tolist() == [1.0, 0.0, 1.0]
    assert same.p_below(-BOUND).tolist() == [1.0, 1.0, 0.0]
    assert same.interval(0.001) == (pytest.approx(same.ratio), pytest.approx(same.ratio))
    assert same.detectable(1.1, 0.01) == pytest.approx([1.1, 1.1, 1.1])
    stored = unpaired([[0.5, 0.5]], [[0.25, 0.25, 0.25]])
    assert (stored.p_above(0.1), stored.p_above(0.3)) == ([0.0], [1.0])


def test_noise_beyond_all_bounds_has_an_infinite_interval() -> None:
    wild = paired([[700.0], [-700.0]])
    assert [ends.tolist() for ends in wild.interval(0.001)] == [[0.0], [math.inf]]
    assert wild.detectable(1.1, 0.001).tolist() == [math.inf]


def test_what_lies_at_a_bound_is_not_beyond_it() -> None:
    at = paired([[0.25], [0.25]])
    assert (at.p_above(0.25), at.p_below(0.25)) == ([1.0], [1.0])


@pytest.mark.parametrize("pairs", [3, 4, 10])
def test_a_detectable_slowdown_is_detected_in_19_of_20(pairs: int) -> None:
    level, sigma = 0.002, 0.05
    error, freedom = np.array([sigma / math.sqrt(pairs)]), np.array([pairs - 1.0])
    slowdown = Estimates(np.zeros(1), error, freedom).detectable(1.1, level)
    noise = np.random.default_rng(0).normal(0.0, sigma, (pairs, 20_000))
    found = paired(noise + np.log(slowdown)).p_above(BOUND) <= level
    assert found.mean() == pytest.approx(0.95, abs=0.006)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_are_taken(wrong: float) -> None:
    with pytest.raises(ConfigurationError, match="expected finite numbers"):
        by_row([[0.0, 0.1], [wrong, 0.1]])


def test_shapes_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="unexpected shape"):
        by_row([[0.1], []])
    with pytest.raises(ConfigurationError, match="there is no row"):
        by_row([])
