"""Verdicts on metrics that depend on nothing but their cell."""

from __future__ import annotations

import math
from typing import Any

import pytest

from regtopk_bench.results import Run
from regtopk_bench.results.baseline import Acceptance, Baseline, baseline_cell
from regtopk_bench.results.judging import Outcomes, exit_code, notes, verdicts
from regtopk_bench.results.verdict import Verdict
from tests.results.samples import image_run, run, verdict

HERE = {"processor": "a", "instructions": "AVX2", "blas": "Zen", "torch": "2.15", "numpy": "2.4"}
ELSEWHERE = HERE | {"torch": "2.16"}


def accepted(*runs: Run, **nudged: float) -> Baseline:
    return Baseline(
        profile="ci",
        history=[Acceptance(date="2026-01-01", reason="the first")],
        environment=HERE,
        cells={each.cell.key: baseline_cell("a name", each, nudged=nudged) for each in runs},
    )


def outcomes(*runs: Run, environment: dict[str, Any] = HERE, **changes: Any) -> Outcomes:
    return Outcomes(
        names={each.cell.key: "a name" for each in runs},
        cells={each.cell.key: each.cell for each in runs},
        runs={each.cell.key: each for each in runs},
        environment=environment,
        **changes,
    )


def judged(before: Run, after: Run, environment: Any = HERE, **nudged: float) -> dict[str, Verdict]:
    found = verdicts(accepted(before, **nudged), outcomes(after, environment=environment))
    return {each.metric: each for each in found}


def gap(value: float, **changes: Any) -> Run:
    return run(gaps=[1.0, 0.1, value], **changes)


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (0.01, "PASS", "equal"),
        (0.010000000000000002, "FAIL", "worse"),
        (0.009999999999999998, "FAIL", "changed"),
        (0.02, "FAIL", "worse"),
        (0.008, "FAIL", "changed"),  # better, but by less than anybody would accept unseen
        (0.004, "BETTER", "better"),
        (0.0, "BETTER", "better"),
    ],
)
def test_on_the_same_machine_numbers_are_equal(value: float, kind: str, reason: str) -> None:
    found = judged(gap(0.01), gap(value))["gap"]
    assert (found.verdict, found.reason) == (kind, reason)
    assert (found.value, found.baseline, found.tolerance) == (value, 0.01, 0.0)
    assert kind == "PASS" or "was 0.01 and is" in found.sentence
    assert "is 0.01;" not in found.sentence  # two numbers that differ never look the same


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (0.01, "PASS", "equal"),
        (0.0199, "PASS", "within-tolerance"),
        (0.0001, "PASS", "within-tolerance"),
        (0.0201, "FAIL", "worse"),
    ],
)
def test_elsewhere_they_are_within_a_tolerance(value: float, kind: str, reason: str) -> None:
    found = judged(gap(0.01), gap(value), ELSEWHERE, gap=0.001)["gap"]
    assert (found.verdict, found.reason) == (kind, reason)
    assert found.tolerance == pytest.approx(0.01)
    assert reason == "equal" or "as torch was 2.15 and is 2.16" in found.sentence


def test_without_a_nudge_a_millionth_is_tolerated_and_counts_are_exact() -> None:
    found = judged(gap(0.01), gap(0.01 * (1 + 9e-7)), ELSEWHERE)
    assert found["gap"].reason == "within-tolerance"
    assert found["uplink_bytes"].tolerance == 0.0
    found = judged(gap(0.01), gap(0.01 * (1 + 2e-6)), ELSEWHERE)
    assert found["gap"].reason == "worse"


def test_another_machine_is_told_once_for_all() -> None:
    assert notes(accepted(gap(0.01)), outcomes(gap(0.01))) == []
    (told,) = notes(accepted(gap(0.01)), outcomes(gap(0.01), environment=ELSEWHERE))
    assert "(torch was 2.15 and is 2.16)" in told


@pytest.mark.parametrize("count", [47, 49])
@pytest.mark.parametrize("environment", [HERE, ELSEWHERE])
def test_fewer_bytes_are_a_change_as_more_are(count: int, environment: Any) -> None:
    bytes_sent = {
        "metrics": {"uplink_bytes": 3 * count},
        "traces": {"uplink_bytes": [float(count)] * 3},
    }
    found = judged(gap(0.01), gap(0.01, **bytes_sent), environment)["uplink_bytes"]
    assert (found.verdict, found.reason) == ("FAIL", "changed")


@pytest.mark.parametrize(
    ("accuracy", "kind", "reason"),
    [(0.5, "FAIL", "worse"), (0.7, "FAIL", "changed"), (0.9, "BETTER", "better")],
)
def test_a_higher_accuracy_is_better(accuracy: float, kind: str, reason: str) -> None:
    def images(value: float) -> Run:
        found = image_run()
        traces = found.traces | {"accuracy": [*found.traces["accuracy"][:-1], value]}
        metrics = found.metrics | {"accuracy": value}
        return found.model_copy(update={"traces": traces, "metrics": metrics})

    found = judged(images(0.6), images(accuracy))["accuracy"]
    assert (found.verdict, found.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("environment", "digest", "kind", "reason"),
    [
        (HERE, "aa", "PASS", "equal"),
        (HERE, "bb", "FAIL", "changed"),
        (ELSEWHERE, "aa", "PASS", "equal"),
        (ELSEWHERE, "bb", "SKIPPED", "other-machine"),
        (HERE, None, "MISSING", "missing-metric"),
    ],
)
def test_digests(environment: Any, digest: str | None, kind: str, reason: str) -> None:
    before = run().model_copy(update={"digests": {"selections": "aa"}})
    digests = {} if digest is None else {"selections": digest}
    found = judged(before, run().model_copy(update={"digests": digests}), environment)
    assert (found["selections"].verdict, found["selections"].reason) == (kind, reason)


def test_metrics_and_cells_that_come_and_go() -> None:
    more = run(metrics={"rounds_to_target": 2})
    assert judged(run(), more)["rounds_to_target"].verdict == "NEW"
    assert judged(more, run())["rounds_to_target"].verdict == "MISSING"
    found = verdicts(accepted(run()), outcomes(run("regtopk", mu=4.0)))
    assert [(each.verdict, each.reason) for each in found] == [
        ("NEW", "new-cell"),
        ("MISSING", "missing-cell"),
    ]
    found = verdicts(accepted(run(), run(seed=1)), outcomes(run()), whole=False)
    assert {each.verdict for each in found} == {"PASS"}


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("environment", [HERE, ELSEWHERE])
def test_a_metric_that_is_no_number_is_not_missing_but_fails(
    value: float, environment: Any
) -> None:
    found = judged(gap(0.01), gap(value), environment)["gap"]
    assert (found.verdict, found.reason) == ("FAIL", "worse")
    assert found.sentence == f"gap was 0.01 and is {value}"
    assert exit_code([found], allow_missing=True) == 1


@pytest.mark.parametrize(("before", "after"), [({}, {}), (HERE, {}), ({}, HERE)])
def test_what_was_run_nobody_knows_where_is_not_held_to_bits(before: Any, after: Any) -> None:
    known = accepted(gap(0.01)).model_copy(update={"environment": before})
    found = verdicts(known, outcomes(gap(0.01 * (1 + 9e-7)), environment=after))
    assert {each.verdict for each in found} == {"PASS"}
    (moved,) = (each for each in found if each.metric == "gap")
    assert moved.sentence.endswith("as it is not known where one of them was run")


def test_why_there_is_nothing_to_compare_a_cell_with() -> None:
    new = run(seed=1)
    given = outcomes(new, alone={new.cell.key: "the base could not run this cell: it died"})
    (found, _) = verdicts(accepted(run()), given)
    assert (found.verdict, found.reason) == ("NEW", "new-cell")
    assert found.sentence == "the base could not run this cell: it died"


def test_a_renamed_cell_is_recognised() -> None:
    found = verdicts(accepted(run(density=0.5)), outcomes(run(density=0.6)))
    assert "one is like it, with density 0.5 instead of 0.6" in found[0].sentence


def test_cells_that_were_skipped_failed_or_diverged() -> None:
    diverged = run(gaps=[1.0, float("nan")], status="diverged")
    skipped, failed = run(seed=1).cell, run(seed=2).cell
    given = outcomes(
        diverged,
        skipped={skipped.key: ("unavailable", "no GPU")},
        failures={failed.key: ("crashed", "it died")},
    )
    names = {**given.names, skipped.key: "skipped", failed.key: "failed"}
    found = verdicts(accepted(run()), Outcomes(**{**vars(given), "names": names}))
    assert [(each.verdict, each.reason) for each in found if each.verdict != "MISSING"] == [
        ("FAIL", "diverged"),
        ("SKIPPED", "unavailable"),
        ("FAIL", "crashed"),
    ]


@pytest.mark.parametrize(
    ("kinds", "flags", "code"),
    [
        (["PASS", "SKIPPED", "BETTER", "INCONCLUSIVE"], {}, 0),
        (["PASS", "INCONCLUSIVE"], {"strict": True}, 4),
        (["FAIL", "INCONCLUSIVE"], {"strict": True}, 1),
        (["NEW"], {}, 1),
        (["NEW"], {"allow_new": True}, 0),
        (["NEW"], {"allow_missing": True}, 1),
        (["MISSING"], {"allow_missing": True}, 0),
        (["SKIPPED", "SKIPPED"], {}, 0),
        (["SKIPPED", "SKIPPED"], {"strict": True}, 4),
        (["SKIPPED", "PASS"], {"strict": True}, 0),
        ([], {}, 0),
    ],
)
def test_exit_codes(kinds: list[Any], flags: dict[str, bool], code: int) -> None:
    assert exit_code([verdict(kind, "changed") for kind in kinds], **flags) == code


@pytest.mark.parametrize(
    ("reasons", "code"),
    [(["crashed"], 3), (["timed-out"], 3), (["crashed", "worse"], 1), (["diverged"], 1)],
)
def test_a_cell_that_could_not_be_run_is_no_regression(reasons: list[Any], code: int) -> None:
    assert exit_code([verdict("FAIL", reason) for reason in reasons]) == code
