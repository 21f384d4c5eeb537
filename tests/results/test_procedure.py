from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.course import follow
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.procedure import CONTROL, Outcome, Procedure

PLAN = Plan(looks=(4, 6))
SLOW = math.log(1.3)
SIGNS = np.array([-1.0, 1.0])


def wiggle(pair: int, size: float = 0.001) -> float:
    """Return a little noise, whose mean over an even number of pairs is 0."""
    return float(size * SIGNS[pair % 2])


def fed(
    changes: Mapping[str, list[float]], pairs: int, plan: Plan = PLAN, control: float = 0.0
) -> Procedure:
    """Return a procedure after so many pairs; a row's last change goes on to the end."""
    procedure = Procedure(list(changes), plan)
    for pair in range(pairs):
        log_ratios = {row: values[min(pair, len(values) - 1)] for row, values in changes.items()}
        noisy = {row: value + wiggle(pair) for row, value in log_ratios.items()}
        procedure.add({**noisy, CONTROL: control + wiggle(pair)})
    return procedure


def said(outcome: Outcome) -> tuple[str, str, int]:
    return outcome.verdict, outcome.reason, outcome.pairs


def test_rows_that_are_as_fast_pass_at_the_first_look() -> None:
    procedure = fed({"a": [0.0], "b": [0.01]}, 3)
    assert (procedure.done, procedure.wanted) == (False, ("a", "b"))
    assert said(procedure.outcomes()["a"]) == ("INCONCLUSIVE", "out-of-time", 3)
    procedure = fed({"a": [0.0], "b": [0.01]}, 4)
    assert (procedure.done, procedure.wanted) == (True, ())
    assert said(procedure.outcomes()["a"]) == ("PASS", "equivalent", 4)
    assert procedure.outcomes()["b"].ratio == pytest.approx(math.exp(0.01))


@pytest.mark.parametrize(
    ("change", "verdict", "reason"), [(SLOW, "FAIL", "slower"), (-SLOW, "BETTER", "faster")]
)
def test_a_change_is_confirmed_by_fresh_pairs(change: float, verdict: str, reason: str) -> None:
    first = fed({"a": [change], "b": [0.0]}, 4)
    assert (first.done, first.wanted) == (False, ("a",))
    assert said(first.outcomes()["a"]) == ("INCONCLUSIVE", "out-of-time", 4)
    assert said(fed({"a": [change]}, 7).outcomes()["a"]) == ("INCONCLUSIVE", "out-of-time", 7)
    both = fed({"a": [change], "b": [0.0]}, 8)
    assert both.done
    assert said(both.outcomes()["a"]) == (verdict, reason, 8)
    assert said(both.outcomes()["b"]) == ("PASS", "equivalent", 4)


def test_the_ratio_is_of_the_fresh_pairs() -> None:
    outcome = fed({"a": [2 * SLOW] * 4 + [SLOW]}, 8).outcomes()["a"]
    assert outcome.verdict == "FAIL"
    assert outcome.ratio == pytest.approx(1.3)
    assert 1.1 < outcome.low < 1.3 < outcome.high < 1.32


@pytest.mark.parametrize("after", [0.0, -SLOW])
def test_what_was_slow_for_a_while_is_not_confirmed(after: float) -> None:
    procedure = fed({"a": [SLOW] * 4 + [after]}, 8)
    assert procedure.done
    outcome = procedure.outcomes()["a"]
    assert said(outcome) == ("INCONCLUSIVE", "not-confirmed", 8)
    assert outcome.ratio == pytest.approx(math.exp(after))


def test_what_stays_open_is_too_noisy() -> None:
    noisy = [0.5, -0.5]
    procedure = fed({"a": noisy * 3, "b": [SLOW] * 4 + noisy * 3}, 5)
    assert said(procedure.outcomes()["a"]) == ("INCONCLUSIVE", "out-of-time", 5)
    procedure = fed({"a": noisy * 3, "b": [SLOW] * 4 + noisy * 3}, 6)
    assert procedure.wanted == ("b",)
    outcome = procedure.outcomes()["a"]
    assert said(outcome) == ("INCONCLUSIVE", "too-noisy", 6)
    assert outcome.low < 1 / 1.1 < 1.1 < outcome.high
    assert outcome.detectable > 2.0
    procedure = fed({"a": noisy * 3, "b": [SLOW] * 4 + noisy * 3}, 10)
    assert procedure.done
    assert said(procedure.outcomes()["b"]) == ("INCONCLUSIVE", "not-confirmed", 10)


def test_a_row_may_be_clear_at_a_later_look() -> None:
    unclear = [0.1, -0.1, 0.1, -0.1]
    plan = Plan(looks=(4, 30))
    procedure = fed({"a": [*unclear, 0.0]}, 29, plan)
    assert procedure.wanted == ("a",)
    assert said(procedure.outcomes()["a"]) == ("INCONCLUSIVE", "out-of-time", 29)
    assert said(fed({"a": [*unclear, 0.0]}, 30, plan).outcomes()["a"]) == ("PASS", "equivalent", 30)


@pytest.mark.parametrize("drift", [math.log(1.07), -math.log(1.07)])
def test_a_control_that_drifts_makes_every_row_inconclusive(drift: float) -> None:
    procedure = fed({"a": [SLOW], "b": [0.0]}, 8, control=drift)
    assert {said(outcome) for outcome in procedure.outcomes().values()} == {
        ("INCONCLUSIVE", "control-failed", 8),
        ("INCONCLUSIVE", "control-failed", 4),
    }


def test_a_control_within_half_the_margin_is_none_of_it() -> None:
    assert fed({"a": [0.0]}, 4, control=math.log(1.045)).outcomes()["a"].verdict == "PASS"


def test_without_noise() -> None:
    procedure = Procedure(["same", "slower"], PLAN)
    for _ in range(8):
        procedure.add({"same": 0.0, "slower": 0.5, CONTROL: 0.0})
    same, slower = procedure.outcomes().values()
    assert same == Outcome("PASS", "equivalent", 1.0, 1.0, 1.0, pytest.approx(1.1), 4)
    assert (slower.verdict, slower.low) == ("FAIL", pytest.approx(math.exp(0.5)))


def test_few_pairs_say_little() -> None:
    none = Procedure(["a"], PLAN).outcomes()["a"]
    assert said(none) == ("INCONCLUSIVE", "out-of-time", 0)
    assert math.isnan(none.ratio)
    one = fed({"a": [SLOW]}, 1, control=1.0).outcomes()["a"]
    assert said(one) == ("INCONCLUSIVE", "out-of-time", 1)
    assert (one.low, one.high, one.detectable) == (0.0, math.inf, math.inf)
    two = fed({"a": [SLOW]}, 2).outcomes()["a"]
    assert said(two) == ("INCONCLUSIVE", "out-of-time", 2)
    assert 0.0 < two.low < 1.3 < two.high < math.inf


def test_samples_stored_before_stand_in_for_a_base() -> None:
    stored = {
        "a": [1.0, 1.001, 0.999, 1.0],
        "b": [2.0, 2.001, 2.0],
        "c": [0.5],
    }
    procedure = Procedure(list(stored), PLAN, stored)
    for pair in range(10):
        now = {"a": 1.0 + SLOW, "b": 2.0, "c": 0.5}
        noisy = {row: value + wiggle(pair) for row, value in now.items()}
        procedure.add({**noisy, CONTROL: wiggle(pair)})
    assert [said(outcome) for outcome in procedure.outcomes().values()] == [
        ("FAIL", "slower", 8),
        ("PASS", "equivalent", 4),
        ("INCONCLUSIVE", "too-noisy", 6),
    ]
    assert procedure.outcomes()["a"].ratio == pytest.approx(1.3, abs=0.001)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.05, 0.15]))
def test_the_verdict_is_what_the_interval_shows(seed: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    rows = ["a", "b", "c", "d"]
    changes = rng.choice([0.0, 0.05, SLOW, -SLOW], 4)
    procedure = Procedure(rows, Plan(looks=(4, 6, 9)))
    while not procedure.done:
        drawn = dict(zip(rows, changes + rng.normal(0, sigma, 4), strict=True))
        procedure.add({row: drawn[row] for row in procedure.wanted} | {CONTROL: 0.0})
    for outcome in procedure.outcomes().values():
        shown = {
            "PASS": 1 / 1.1 < outcome.low <= outcome.high < 1.1,
            "FAIL": outcome.low > 1.1,
            "BETTER": outcome.high < 1 / 1.1,
            "INCONCLUSIVE": True,
        }
        assert shown[outcome.verdict]
        assert outcome.low <= outcome.ratio <= outcome.high
        assert outcome.detectable >= 1.1
        if outcome.reason == "too-noisy":
            assert not any(shown[verdict] for verdict in ("PASS", "FAIL", "BETTER"))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.05, 0.15]))
def test_many_runs_at_once_go_as_each_alone(seed: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    plan = Plan(looks=(3, 5, 8))
    log_ratios = rng.choice([0.0, 0.0, SLOW, -SLOW], (3, 1, 4)) + rng.normal(0, sigma, (3, 16, 4))
    together = follow(log_ratios, plan)
    for run in range(3):
        procedure = Procedure("abcd", plan)
        pairs = iter(log_ratios[run])
        while not procedure.done:
            procedure.add(dict(zip("abcd", next(pairs), strict=True)) | {CONTROL: 0.0})
        outcomes = procedure.outcomes().values()
        assert [one.verdict for one in outcomes] == together.verdict[run].tolist()
        assert [one.pairs for one in outcomes] == together.pairs[run].tolist()


def test_the_order_of_rows_does_not_matter() -> None:
    changes = {"a": [0.0], "b": [SLOW], "c": [0.5, -0.5] * 3, "d": [-SLOW]}
    expected = {row: said(one) for row, one in fed(changes, 8).outcomes().items()}
    for order in itertools.permutations(changes):
        procedure = fed({row: changes[row] for row in order}, 8)
        assert {row: said(one) for row, one in procedure.outcomes().items()} == expected


def contaminated(rng: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return noise of 2 % and, in a tenth of the processes, of 20 to 60 % on one side."""
    bursts = [(rng.random(shape) < 0.1) * rng.uniform(0.2, 0.6, shape) for _ in range(2)]
    return rng.normal(0, 0.02, shape) + bursts[0] - bursts[1]


def test_noise_alone_fails_nobody_and_slowdowns_are_found() -> None:
    rng, plan = np.random.default_rng(0), Plan()
    shape = (500, 2 * plan.looks[-1], 6)
    slow = np.array([math.log(1.2), 0, 0, 0, 0, 0])
    quiet = rng.normal(0, 0.03, shape)
    for noise in (quiet, rng.normal(0, 0.1, shape), contaminated(rng, shape)):
        verdicts = follow(noise, plan).verdict
        assert (verdicts == "FAIL").any(axis=1).mean() < 0.01
        assert (verdicts == "BETTER").any(axis=1).mean() < 0.01
    found = follow(quiet + slow, plan)
    assert (found.verdict[:, 0] == "FAIL").mean() > 0.95
    assert (found.verdict[:, 1:] == "PASS").mean() > 0.95


@pytest.mark.parametrize("change", [1.1, 1 / 1.1])
def test_at_the_margin_chance_errs_no_more_than_the_level(change: float) -> None:
    rng, plan = np.random.default_rng(1), Plan()
    log_ratios = rng.normal(math.log(change), 0.05, (10_000, 2 * plan.looks[-1], 4))
    verdicts = follow(log_ratios, plan).verdict
    for wrong in ("PASS", "FAIL", "BETTER"):
        assert (verdicts == wrong).any(axis=1).mean() <= 0.05


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("row", ["a", CONTROL])
def test_only_finite_numbers_are_added(row: str, wrong: float) -> None:
    procedure = fed({"a": [0.0]}, 2)
    with pytest.raises(ConfigurationError, match="expected finite numbers"):
        procedure.add({"a": 0.0, CONTROL: 0.0, row: wrong})
    procedure.add({"a": 0.0, CONTROL: 0.0})
    assert procedure.outcomes()["a"].pairs == 3


def test_a_pair_needs_the_control_and_the_rows_that_are_wanted() -> None:
    procedure = fed({"a": [0.0], "b": [SLOW]}, 4)
    with pytest.raises(ConfigurationError, match="lacks the log ratio of b, control"):
        procedure.add({"a": 0.0})
    procedure.add({"a": math.nan, "b": SLOW, CONTROL: 0.0})  # of a, no more is wanted


@pytest.mark.parametrize("rows", [[], ["a", "a"], ["a", CONTROL]])
def test_names_are_checked(rows: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="rows: expected different names"):
        Procedure(rows, PLAN)


def test_stored_samples_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="stored samples: none of b"):
        Procedure(["a", "b"], PLAN, {"a": [0.0]})
    with pytest.raises(ConfigurationError, match="expected finite numbers"):
        Procedure(["a"], PLAN, {"a": [math.nan]})
