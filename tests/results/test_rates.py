from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.rates import Share, found_in, rates

PLAN = Plan(looks=(4, 7, 12))
FEW: dict[str, Any] = {"runs": 400, "pools": 20}
QUIET = np.random.default_rng(0).normal(0, 0.02, (30, 4))
NOISY = np.random.default_rng(0).normal(0, 0.12, (30, 4))


def test_a_quiet_machine_raises_no_false_alarm() -> None:
    found = rates(QUIET, PLAN, **FEW)
    assert (found.failed.value, found.passed.value) == (0.0, 1.0)
    assert found.failed.low == 0.0
    assert 0.0 < found.failed.high < 0.1  # however many runs were simulated, not certain
    assert 4.0 <= found.pairs < 6.0


def test_a_slowdown_of_one_row_or_of_all_is_found() -> None:
    assert rates(QUIET, PLAN, 1.3, row=1, **FEW).failed.value > 0.99
    assert rates(QUIET, PLAN, 1.3, **FEW).failed.value > 0.99
    assert rates(QUIET, PLAN, 1 / 1.3, **FEW).inconclusive.value > 0.99  # BETTER


def test_shares_add_up_and_lie_in_their_intervals() -> None:
    found = rates(NOISY, PLAN, 1.3, row=0, **FEW)
    shares = [found.failed, found.passed, found.inconclusive]
    assert sum(share.value for share in shares) == pytest.approx(1.0)
    assert all(0.0 <= share.low <= share.value <= share.high <= 1.0 for share in shares)
    assert found.failed.high - found.failed.low > 0.05


def test_fewer_pairs_measured_leave_more_open() -> None:
    def width(share: Share) -> float:
        return share.high - share.low

    many = rates(np.tile(NOISY, (20, 1)), PLAN, 1.3, row=0, **FEW)
    few = rates(NOISY, PLAN, 1.3, row=0, **FEW)
    assert width(many.failed) < width(few.failed)


def test_a_control_that_drifts_leaves_nothing_to_rely_on() -> None:
    drifting = QUIET + np.array([0.0, 0.0, 0.0, 0.1])
    assert rates(drifting, PLAN, 1.5, **FEW).inconclusive.value > 0.99


def test_the_same_seed_gives_the_same_rates() -> None:
    first = rates(NOISY, PLAN, 1.3, row=0, **FEW)
    assert rates(NOISY, PLAN, 1.3, row=0, **FEW) == first
    assert rates(NOISY, PLAN, 1.3, row=0, seed=1, **FEW) != first
    assert found_in(NOISY, PLAN, runs=200) == found_in(NOISY, PLAN, runs=200)


def test_the_slowdown_found_is_the_smallest_one() -> None:
    smallest = found_in(QUIET, PLAN, 0.9, row=0, runs=400)
    assert 1.1 < smallest < 1.25
    assert rates(QUIET, PLAN, smallest * 1.01, row=0, **FEW).failed.value > 0.88
    assert rates(QUIET, PLAN, smallest * 0.98, row=0, **FEW).failed.value < 0.9
    assert found_in(NOISY, PLAN, 0.9, row=0, runs=400) > smallest


def test_without_noise_any_slowdown_beyond_the_margin_is_found() -> None:
    assert found_in(np.zeros((3, 2)), PLAN, runs=20) == pytest.approx(1.1, rel=0.003)


def test_where_nothing_can_be_found() -> None:
    wild = np.random.default_rng(0).normal(0, 3.0, (30, 3))
    assert found_in(wild, PLAN, runs=100) == math.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pairs": QUIET[:1]}, "pairs: expected at least two"),
        ({"pairs": QUIET[:, :1]}, "pairs: expected at least two"),
        ({"pairs": QUIET[:, 0]}, "unexpected shape"),
        ({"pairs": np.full((3, 3), math.nan)}, "finite numbers"),
        ({"slowdown": 0.0}, "slowdown: expected"),
        ({"slowdown": math.nan}, "slowdown: expected"),
        ({"row": 3}, "row: expected one from 0 to 2, got 3"),
        ({"row": -1}, "row: expected one from 0 to 2, got -1"),
    ],
)
def test_what_cannot_be_simulated_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        rates(**{"pairs": QUIET, "plan": PLAN} | arguments)


@pytest.mark.parametrize("share", [0.0, 1.0, math.nan])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(ConfigurationError, match="share: expected"):
        found_in(QUIET, PLAN, share)
