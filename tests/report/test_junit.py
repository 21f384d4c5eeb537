from __future__ import annotations

import math
from typing import get_args
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml, TestCase, TestSuite

from regtopk_bench.report.junit import junit
from regtopk_bench.results import Result
from regtopk_bench.results.verdict import Kind, Reason
from tests.results.samples import HOSTILE, check, timing, verdict

TestCase.__test__ = TestSuite.__test__ = False  # they are no tests of ours


def parsed(result: Result) -> JUnitXml:
    return JUnitXml.fromstring(junit(result))


def outcomes(result: Result) -> list[str]:
    """Return the tag of what a standard parser finds in each case, or "passed"."""
    found = [case.result for suite in parsed(result) for case in suite]
    assert all(len(each) < 2 for each in found)
    return [each[0]._tag if each else "passed" for each in found]


def properties(element: ElementTree.Element) -> dict[str | None, str | None]:
    return {each.get("name"): each.get("value") for each in element.findall("properties/property")}


def test_a_cell_is_a_suite_and_a_metric_a_case() -> None:
    found = [verdict(name="a"), verdict(name="b"), verdict("FAIL", "worse", name="a", metric="m")]
    suites = list(parsed(check(found)))
    assert [(suite.name, suite.tests, suite.failures) for suite in suites] == [
        ("a", 2, 1),
        ("b", 1, 0),
    ]
    cases = [(case.classname, case.name) for suite in suites for case in suite]
    assert cases == [("a", "gap"), ("a", "m"), ("b", "gap")]


def test_every_kind_has_its_outcome() -> None:
    kinds: dict[Kind, str] = {
        "PASS": "passed",
        "BETTER": "passed",
        "FAIL": "failure",
        "NEW": "failure",
        "MISSING": "failure",
        "SKIPPED": "skipped",
        "INCONCLUSIVE": "skipped",
    }
    assert set(kinds) == set(get_args(Kind))
    assert outcomes(check([verdict(kind, "changed") for kind in kinds])) == list(kinds.values())


def test_what_is_allowed_has_passed() -> None:
    found = [verdict("NEW", "new-cell"), verdict("MISSING", "missing-cell")]
    assert outcomes(check(found, allow_new=True)) == ["passed", "failure"]
    assert outcomes(check(found, allow_missing=True, allow_new=False)) == ["failure", "passed"]


@pytest.mark.parametrize("reason", get_args(Reason))
def test_a_failure_has_its_reason_and_a_cell_that_could_not_be_run_is_an_error(
    reason: Reason,
) -> None:
    result = check([verdict("FAIL", reason, sentence="why it is so")])
    ((case,),) = parsed(result)
    (found,) = case.result
    assert (found.type, found.message) == (reason, "why it is so")
    assert found._tag == ("error" if reason in ("crashed", "timed-out") else "failure")
    assert found.text.split("\n") == [
        "FAIL: why it is so",
        *(
            ["regtopk-bench check --profile ci --select linreg/regtopk/density=0.6/seed=0"]
            if reason != "missing-cell"
            else []
        ),
    ]


def test_numbers_are_properties_as_far_as_there_are_any() -> None:
    odd = verdict("FAIL", "worse", value=math.nan, baseline=0.1 + 0.2, tolerance=0.0)
    timed = verdict("PASS", "equivalent", timing=timing(high=math.inf))
    first, second = ElementTree.fromstring(junit(check([odd, timed]))).iter("testcase")
    assert properties(first) == {
        "verdict": "FAIL",
        "reason": "worse",
        "baseline": "0.30000000000000004",
        "tolerance": "0.0",
    }
    assert properties(second) == {
        "verdict": "PASS",
        "reason": "equivalent",
        "ratio": "1.012",
        "low": "0.981",
        "margin": "1.1",
        "detectable": "1.062",
        "pairs": "14",
    }


def test_totals_are_those_of_the_cases() -> None:
    kinds = ["PASS", "FAIL", "FAIL", "SKIPPED"] * 250
    reasons = ["equal", "worse", "crashed", "unavailable"] * 250
    found = [
        verdict(kind, reason, name=f"cell {number % 7}", metric=str(number))
        for number, (kind, reason) in enumerate(zip(kinds, reasons, strict=True))
    ]
    root = parsed(check(found))
    assert (root.tests, root.failures, root.errors, root.skipped) == (1000, 250, 250, 250)
    assert len(list(root)) == 7
    names = [case.name for suite in root for case in suite]
    assert sorted(names, key=int) == [str(number) for number in range(1000)]
    root.update_statistics()  # counted anew by the parser
    assert (root.tests, root.failures, root.errors, root.skipped) == (1000, 250, 250, 250)


def test_cells_of_one_name_are_two_suites() -> None:
    other = verdict().model_copy(update={"cell": "other"})
    assert [suite.name for suite in parsed(check([verdict(), other]))] == [other.name] * 2


def test_no_verdicts_are_no_suites() -> None:
    root = parsed(check([]))
    assert (root.tests, len(list(root))) == (0, 0)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_keep_all_that_xml_can_hold(name: str) -> None:
    result = check([verdict("FAIL", "worse", name=name, metric=name, sentence=name)])
    ((case,),) = parsed(result)
    replaced = "".join(
        each if each in "\t\n\r" or (each >= " " and each not in "\ufffe\ud800") else "\ufffd"
        for each in name
    )
    assert (case.classname, case.name, case.result[0].message) == (replaced,) * 3
