"""Verdicts on claims, from runs that are made up."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from regtopk_bench.gate import claims
from regtopk_bench.gate.suite import Claimed
from regtopk_bench.results import Run
from regtopk_bench.results.baseline import CONSERVATION
from regtopk_bench.results.verdict import Verdict
from tests.gate.suites import suite_of
from tests.results.samples import run


def judged(ours: Run, theirs: Run, **claim: Any) -> Verdict:
    facts = {"text": "ours is below", "metric": "gap", "decades": 0.0, **claim}
    pairs = [(ours.cell.key, theirs.cell.key)]
    suite = replace(suite_of(ours, theirs), claims=[Claimed(**facts, pairs=pairs)])
    (found,) = claims.verdicts(suite, {each.cell.key: each for each in (ours, theirs)})
    return found


@pytest.mark.parametrize(
    ("ours", "theirs", "decades", "kind", "told"),
    [
        (0.001, 0.1, 2.0, "PASS", "it is 2.00 decades below"),
        (0.001, 0.1, 2.1, "FAIL", "it is 2.00 decades below"),
        (0.1, 0.05, -0.5, "PASS", "it is 0.30 decades above"),
        (0.0, 0.1, 20.0, "PASS", "it is inf decades below"),
        (0.0, 0.0, -0.5, "PASS", "it is 0.00 decades below"),
        (0.0, 0.0, 0.5, "FAIL", "it is 0.00 decades below"),
        (math.inf, math.inf, -0.5, "FAIL", "it is inf, and the other inf"),
        (math.nan, 0.1, 0.0, "FAIL", "it is nan, and the other 0.1"),
    ],
)
def test_gaps_are_compared_in_decades(
    ours: float, theirs: float, decades: float, kind: str, told: str
) -> None:
    found = judged(run(gaps=[ours]), run("dense", gaps=[theirs]), decades=decades)
    assert found.verdict == kind
    assert found.sentence.endswith(f"ours is below; {told}")


def test_a_metric_that_does_not_exist() -> None:
    found = judged(run(), run("dense"), metric="gapp")
    assert found.verdict == "FAIL"
    assert found.sentence == "broken: ours is below; there is no metric gapp"


@pytest.mark.parametrize("left", [0, 1])
def test_a_claim_about_a_cell_that_was_skipped_is_skipped_itself(left: int) -> None:
    both = [run(), run("dense")]
    skipped = both[1 - left].cell.key
    claim = Claimed("ours is below", "gap", 0.0, [[each.cell.key for each in both]])
    suite = replace(suite_of(*both), claims=[claim], skipped={skipped: "no CUDA"})
    (found,) = claims.verdicts(suite, {both[left].cell.key: both[left]})
    assert (found.verdict, found.reason) == ("SKIPPED", "unavailable")
    assert found.cell == both[0].cell.key
    assert "no CUDA" in found.sentence


@pytest.mark.parametrize(("lost", "kind"), [(0.0, "PASS"), (1e-300, "FAIL"), (math.nan, "FAIL")])
def test_conservation_is_exact(lost: float, kind: str) -> None:
    one = run(metrics={CONSERVATION: lost})
    (found,) = claims.verdicts(suite_of(one), {one.cell.key: one})
    assert (found.metric, found.verdict) == ("conservation", kind)
