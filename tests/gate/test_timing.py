"""How pairs become verdicts, with pairs whose times are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from regtopk_bench.gate.timing import Timer, verdict
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.procedure import CONTROL

FAST, SLOW = "fast", "slow"


class Machine:
    """Two rows, one of which takes longer on one side, on a machine with a little noise."""

    def __init__(self, slowdown: float, control: float = 1.0) -> None:
        self.generator = np.random.default_rng(0)
        self.slowdown, self.control = slowdown, control
        self.asked: list[Sequence[str]] = []

    def pair(self, keys: Sequence[str], number: int) -> Mapping[str, float]:
        assert number == len(self.asked)
        self.asked.append(keys)
        ratios = {FAST: 1.0, SLOW: self.slowdown}
        noise = {key: float(self.generator.normal(0.0, 0.02)) for key in [*keys, CONTROL]}
        wanted = {key: math.log(ratios[key]) for key in keys} | {CONTROL: math.log(self.control)}
        return {key: wanted[key] + noise[key] for key in wanted}


@pytest.mark.parametrize(
    ("slowdown", "control", "kind", "reason"),
    [
        (1.0, 1.0, "PASS", "equivalent"),
        (1.5, 1.0, "FAIL", "slower"),
        (0.5, 1.0, "BETTER", "faster"),
        (1.5, 1.5, "INCONCLUSIVE", "control-failed"),
    ],
)
def test_verdicts(slowdown: float, control: float, kind: str, reason: str) -> None:
    machine = Machine(slowdown, control)
    taken: list[Mapping[str, float]] = []
    timer = Timer(machine.pair, Plan(), 60.0, on_pair=taken.append)
    outcomes = timer.outcomes([FAST, SLOW])
    found = verdict("key", "name", outcomes[SLOW], 1.1, "the base")
    assert (found.verdict, found.reason) == (kind, reason)
    assert len(taken) == len(machine.asked) == timer.pairs
    assert found.timing is not None
    assert found.timing.pairs >= 4
    assert "times as long as the base" in found.sentence
    if kind in ("FAIL", "BETTER"):  # the other row was clear sooner, and was not timed again
        assert machine.asked[-1] == (SLOW,)


def test_no_time_for_a_pair() -> None:
    timer = Timer(Machine(1.5).pair, Plan(), 0.0)
    found = verdict("key", "name", timer.outcomes([SLOW])[SLOW], 1.1, "the base")
    assert (found.verdict, found.reason) == ("INCONCLUSIVE", "out-of-time")
    assert "raise --time-budget" in found.sentence


def test_pairs_of_an_interrupted_check_are_not_taken_again() -> None:
    machine = Machine(1.0)
    before: list[Mapping[str, float]] = []
    Timer(machine.pair, Plan(), 60.0, on_pair=before.append).outcomes([FAST])
    again = Machine(1.0)
    outcomes = Timer(again.pair, Plan(), 60.0, before=before).outcomes([FAST])
    assert not again.asked
    assert outcomes[FAST].verdict == "PASS"
