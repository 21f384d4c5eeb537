from __future__ import annotations

from xml.etree import ElementTree

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from regtopk_bench.report.junit import junit
from regtopk_bench.results import Result
from tests.report.verdicts import HOSTILE, ONE_OF_EACH, checked, verdict


def suites(result: Result) -> list[TestSuite]:
    return list(JUnitXml.fromstring(junit(result)))


def cases(result: Result) -> list[TestCase]:
    return [case for suite in suites(result) for case in suite]


def test_a_suite_for_each_cell_and_a_case_for_each_verdict() -> None:
    found = suites(checked(*ONE_OF_EACH))
    assert [suite.name for suite in found] == [f"cell {cell}" for cell in range(7)]
    assert [case.name for case in found[0]] == ["gap", "loss", "accuracy"]
    assert {case.classname for case in found[0]} == {"cell 0"}


def test_what_each_verdict_is() -> None:
    found = [[type(each) for each in case.result] for case in cases(checked(*ONE_OF_EACH))]
    assert found == [
        *([], [Failure], [], [Failure], [Failure], [Error], [Error], [Skipped], [Skipped]),
    ]


def test_failures_have_a_type_and_a_message() -> None:
    found = {case.name: case.result for case in cases(checked(*ONE_OF_EACH))}
    [loss] = found["loss"]
    assert (loss.type, loss.message) == ("worse", "it is worse")
    [time] = found["time"]
    assert time.message == "it is too-noisy"


def test_counts() -> None:
    document = JUnitXml.fromstring(junit(checked(*ONE_OF_EACH)))
    of_all = (document.tests, document.failures, document.errors, document.skipped)
    assert of_all == (9, 3, 2, 2)
    first = next(iter(document))
    assert (first.tests, first.failures, first.errors, first.skipped) == (3, 1, 0, 0)
    recounted = JUnitXml.fromstring(junit(checked(*ONE_OF_EACH)))
    recounted.update_statistics()
    assert (recounted.tests, recounted.failures, recounted.errors) == of_all[:3]


@pytest.mark.parametrize(
    ("settings", "failures"),
    [
        ({"allow_new": True}, 2),
        ({"allow_missing": True}, 2),
        ({"allow_new": True, "allow_missing": True}, 1),
        ({"allow_new": False}, 3),
    ],
)
def test_what_the_settings_allow_is_no_failure(settings: dict[str, bool], failures: int) -> None:
    document = JUnitXml.fromstring(junit(checked(*ONE_OF_EACH, **settings)))
    assert document.failures == failures


def test_cells_of_one_name_are_two_suites() -> None:
    alike = [verdict("NEW", "new-cell", cell=cell, name="same") for cell in ("1", "2")]
    assert [suite.name for suite in suites(checked(*alike))] == ["same", "same"]


def test_whatever_a_name_has_in_it_is_kept_or_replaced() -> None:
    hostile = verdict("FAIL", "worse", cell=HOSTILE, name=HOSTILE, metric=HOSTILE, sentence=HOSTILE)
    document = junit(checked(hostile))
    case = ElementTree.fromstring(document)[0][0]
    expected = HOSTILE
    for lost in "\x00\x1b\ud800\uffff":
        expected = expected.replace(lost, "\ufffd")
    assert case.get("name") == case.get("classname") == case[0].get("message") == expected
    assert expected.replace("\r\n", "\n") in (case[0].text or "")
    [[[failure]]] = ([case.result for case in suite] for suite in suites(checked(hostile)))
    assert failure.message == expected


def test_without_verdicts() -> None:
    document = JUnitXml.fromstring(junit(checked()))
    assert (len(list(document)), document.tests) == (0, 0)
