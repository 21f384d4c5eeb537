"""Numbers in sentences: none is rounded to where it would say something else."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench.report.phrases import (
    in_one_sentence,
    p_value,
    seeds,
    sizes,
    written_p,
)
from regtopk_bench.results.measures import LOG10_GAP
from regtopk_bench.results.statistics import Comparison, statistics_of
from tests.results.samples import result, run


def compared(logs: Sequence[float]) -> Comparison:
    """Return RegTop-k against Top-k, whose gap is 0.01 with every seed."""
    runs = [
        run(name, seed, gaps=[1.0, 10.0**log])
        for seed, own in enumerate(logs)
        for name, log in (("topk", -2.0), ("regtopk", own))
    ]
    (pair,) = statistics_of(result(runs)).pairs(LOG10_GAP, "density")
    return pair


def with_p(*values: float) -> list[Comparison]:
    pair = compared([-3.0, -3.5])
    return [pair.model_copy(update={"p": each, "p_corrected": each}) for each in values]


def test_a_bound_is_rounded_so_that_it_holds() -> None:
    assert p_value(with_p(0.0124, 0.001)) == "p ≤ 0.013"
    assert p_value(with_p(0.126, 0.9), "at least") == "p ≥ 0.12"
    assert p_value(with_p(0.012, 0.001)) == "p ≤ 0.012"
    assert p_value(with_p(0.0995, 0.001)) == "p ≤ 0.1"
    assert p_value(with_p(1.0, 1.0), "at least") == "p = 1"
    assert p_value(with_p(0.0124)) == "p = 0.012"


@given(st.floats(1e-299, 1.0), st.floats(1e-299, 1.0))
def test_every_bound_holds_and_is_close(one: float, other: float) -> None:
    most = float(p_value(with_p(one, other)).split()[-1])
    least = p_value(with_p(one, other), "at least").split()[-1]
    assert max(one, other) <= most <= 1.1 * max(one, other)
    assert min(one, other) >= float(least) >= min(one, other) / 1.1


@pytest.mark.parametrize("p", [0.0501, 0.050001, 0.05, 0.0499999, 0.05000000000000001])
def test_p_is_not_rounded_to_the_other_side_of_the_level(p: float) -> None:
    assert (float(written_p(p)) <= 0.05) == (p <= 0.05)
    assert (float(p_value(with_p(p, 0.9), "at least").split()[-1]) <= 0.05) == (p <= 0.05)
    assert (float(p_value(with_p(p, 0.001)).split()[-1]) <= 0.05) == (p <= 0.05)


def test_p_near_the_level_has_as_many_digits_as_it_takes() -> None:
    assert written_p(0.0501) == "0.0501"
    assert written_p(0.0504) == "0.0504"
    assert written_p(0.0496) == "0.05"
    assert written_p(0.0436) == "0.044"


def test_p_that_is_too_small_has_a_bound() -> None:
    assert p_value(with_p(0.0)) == "p < 1e-300"
    assert p_value(with_p(0.0, 1e-301)) == "p < 1e-300"
    assert p_value(with_p(0.0, 0.012)) == "p ≤ 0.012"
    assert written_p(0.0) == "<1e-300"
    assert written_p(4.94e-166) == "4.9e-166"


def test_sizes_that_look_the_same_are_one() -> None:
    assert sizes([5.931, 5.929]) == "5.93"
    assert sizes([0.5, 1.25, 0.75]) == "0.50 to 1.25"
    assert sizes([0.0011, 0.00114]) == "0.0011"
    assert sizes([0.002, 0.5]) == "0.002 to 0.50"
    assert sizes([0.0]) == "0"


def test_sizes_without_places_have_four_significant_digits() -> None:
    assert sizes([0.021342, 123.456], None) == "0.02134 to 123.5"
    assert sizes([0.0], None) == "0"


@pytest.mark.parametrize(
    ("counts", "told"), [([3], "3 seeds"), ([3, 3], "3 seeds"), ([5, 2, 3], "2 to 5 seeds")]
)
def test_numbers_of_seeds(counts: list[int], told: str) -> None:
    assert seeds(counts) == told


def test_lists_within_a_list_have_a_comma_between_them() -> None:
    runs = [
        run("dense"),
        *(run(name, density=d) for name in ("topk", "regtopk") for d in (0.1, 0.2)),
    ]
    summary = statistics_of(result(runs)).summary
    assert in_one_sentence(summary, []) == "dense, and Top-k and RegTop-k at densities 0.1 and 0.2"
    assert in_one_sentence(summary[:2], []) == "dense and Top-k at density 0.1"
    assert math.isfinite(summary[0].density)
