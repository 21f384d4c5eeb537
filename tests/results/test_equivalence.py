from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.equivalence import Plan, judge
from regtopk_bench.results.ratios import Estimates, by_row

OPPOSITE = {"slower": "faster", "faster": "slower", "equivalent": "equivalent", "open": "open"}


@st.composite
def measured(draw: st.DrawFn) -> NDArray[np.float64]:
    """Log ratios of some pairs and rows, of all sizes of change and noise."""
    pairs, rows = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    changes = rng.choice([0.0, 0.0, 0.1, -0.1, 0.3, -0.3], rows)
    noises = 10.0 ** rng.uniform(-4, 0, rows)
    return np.asarray(changes + noises * rng.normal(size=(pairs, rows)))


@given(measured(), st.floats(1.01, 2.0), st.floats(0.001, 0.3))
def test_the_finding_is_what_the_interval_shows(
    values: NDArray[np.float64], margin: float, level: float
) -> None:
    estimates = Estimates.of(values)
    found = judge(estimates, margin, level)
    low, high = estimates.interval(found.level)
    inside = (low > 1 / margin) & (high < margin)
    shown = np.select(
        [low > margin, high < 1 / margin, inside], ["slower", "faster", "equivalent"], "open"
    )
    assert found.finding.tolist() == shown.tolist()
    assert (found.level <= level).all()


@given(measured())
def test_what_is_slower_one_way_round_is_faster_the_other(values: NDArray[np.float64]) -> None:
    there, back = judge(Estimates.of(values), 1.1, 0.05), judge(Estimates.of(-values), 1.1, 0.05)
    assert [OPPOSITE[one] for one in there.finding] == back.finding.tolist()
    assert there.p_slower == pytest.approx(back.p_faster)
    assert there.p_equivalent == pytest.approx(back.p_equivalent)


@given(measured(), st.floats(0.5, 4.0))
def test_margin_and_ratios_may_be_scaled_together(
    values: NDArray[np.float64], scale: float
) -> None:
    one = judge(Estimates.of(values), 1.1, 0.05)
    other = judge(Estimates.of(values * scale), 1.1**scale, 0.05)
    assert one.finding.tolist() == other.finding.tolist()


@given(measured(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(values: NDArray[np.float64], random: Any) -> None:
    order = random.sample(range(values.shape[1]), values.shape[1])
    straight, mixed = (
        judge(Estimates.of(values), 1.1, 0.05),
        judge(Estimates.of(values[:, order]), 1.1, 0.05),
    )
    assert straight.finding[order].tolist() == mixed.finding.tolist()


@given(measured(), measured())
def test_without_pairs_the_finding_is_what_the_interval_shows_too(
    now: NDArray[np.float64], before: NDArray[np.float64]
) -> None:
    rows = min(now.shape[1], before.shape[1])
    estimates = by_row(list(now.T[:rows])).less(by_row(list(before.T[:rows])))
    found = judge(estimates, 1.1, 0.05)
    low, high = estimates.interval(found.level)
    assert ((found.finding == "slower") == (low > 1.1)).all()
    assert ((found.finding == "faster") == (high < 1 / 1.1)).all()
    assert ((found.finding == "equivalent") == ((low > 1 / 1.1) & (high < 1.1))).all()


def test_p_is_that_of_the_two_one_sided_tests() -> None:
    values = np.random.default_rng(0).normal(0.03, 0.05, (6, 4))
    found = judge(Estimates.of(values), 1.1, 0.05)
    bound = math.log(1.1)
    below = scipy.stats.ttest_1samp(values, bound, alternative="less").pvalue
    above = scipy.stats.ttest_1samp(values, -bound, alternative="greater").pvalue
    assert found.p_equivalent == pytest.approx(np.maximum(below, above))


def rows_with(p_slower: list[float]) -> NDArray[np.float64]:
    """Return four pairs of rows with these p of being slower than 1.1."""
    shape = np.array([-1.0, -1.0, 1.0, 1.0])
    error = shape.std(ddof=1) / 2
    t = -scipy.stats.t.ppf(p_slower, 3)
    return np.asarray(math.log(1.1) + 0.01 * (shape[:, None] + t * error))


def test_rows_are_corrected_by_holm() -> None:
    found = judge(Estimates.of(rows_with([0.02, 0.3, 0.01, 0.026])), 1.1, 0.05)
    assert found.p_slower == pytest.approx([0.02, 0.3, 0.01, 0.026])
    # 0.01 <= 0.05 / 4, 0.02 > 0.05 / 3: the second fails, and with it whatever is larger.
    assert found.finding.tolist() == ["open", "open", "slower", "open"]
    assert found.level[2] == pytest.approx(0.05 / 4)
    found = judge(Estimates.of(rows_with([0.016, 0.3, 0.01, 0.024])), 1.1, 0.05)
    assert found.finding.tolist() == ["slower", "open", "slower", "slower"]
    assert found.level[[2, 0, 3]] == pytest.approx([0.05 / 4, 0.05 / 3, 0.05 / 2])


def test_rows_decided_earlier_stay_as_they_are() -> None:
    values = Estimates.of(rows_with([0.001, 0.02, 0.001]))
    found = judge(values, 1.1, 0.05, np.array(["equivalent", "open", "faster"]))
    assert found.finding.tolist() == ["equivalent", "open", "faster"]  # 0.02 > 0.05 / 3
    found = judge(values, 1.1, 0.05, np.array(["slower", "open", "slower"]))
    assert found.finding.tolist() == ["slower", "slower", "slower"]


def test_many_runs_are_judged_at_once() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.05, (5, 4, 3))
    together = judge(Estimates.of(values), 1.1, 0.05)
    for index, one in enumerate(values):
        assert (
            judge(Estimates.of(one), 1.1, 0.05).finding.tolist() == together.finding[index].tolist()
        )


def test_chance_errs_as_often_as_the_level_says_at_the_margin() -> None:
    values = np.random.default_rng(2).normal(math.log(1.1), 0.05, (5, 4000 * 4))
    runs = np.moveaxis(values.reshape(5, 4000, 4), 0, 1)
    found = judge(Estimates.of(runs), 1.1, 0.05).finding
    assert 0.04 < (found == "slower").any(axis=1).mean() < 0.06
    assert (found == "equivalent").any(axis=1).mean() < 0.06


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"margin": 1.0}, "margin"),
        ({"margin": math.nan}, "margin"),
        ({"margin": math.inf}, "margin"),
        ({"level": 0.0}, "level"),
        ({"level": 0.5}, "level"),
        ({"level": math.nan}, "level"),
        ({"looks": ()}, "looks"),
        ({"looks": (1, 4)}, "looks"),
        ({"looks": (4, 4)}, "looks"),
        ({"looks": (6, 4)}, "looks"),
    ],
)
def test_impossible_plans_are_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{named}: expected"):
        Plan(**fields)


def test_looks_share_the_level() -> None:
    assert Plan(level=0.06, looks=(5, 10, 20)).look_level == pytest.approx(0.02)
