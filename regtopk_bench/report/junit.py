"""Verdicts as JUnit XML, which CI systems show as tests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from regtopk_bench.report.checked import rerun
from regtopk_bench.report.failures import failure
from regtopk_bench.results.schema import Result
from regtopk_bench.results.verdict import Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT = "\ufffd"
_SKIPPED = ("SKIPPED", "INCONCLUSIVE")


def junit(result: Result) -> bytes:
    """Return the verdicts of a check as a JUnit XML document.

    A cell is a test suite, and each verdict on it a test case, named after its metric. Verdicts
    that fail the check are failures, or errors where the cell could not be run; verdicts that say
    nothing, SKIPPED and INCONCLUSIVE, are skipped test cases. Its numbers are properties of a test
    case. Characters that XML cannot hold are replaced with U+FFFD.
    """
    by_cell: dict[str, list[Verdict]] = {}
    for verdict in result.verdicts:
        by_cell.setdefault(verdict.cell, []).append(verdict)
    root = Element("testsuites", {"name": _text(f"regtopk-bench {result.command}")})
    suites = [_suite(root, result, verdicts) for verdicts in by_cell.values()]
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _suite(root: Element, result: Result, verdicts: Sequence[Verdict]) -> Element:
    """Append the verdicts on a cell, and return their test suite."""
    suite = SubElement(root, "testsuite", {"name": _text(verdicts[0].name)})
    _properties(suite, {"key": verdicts[0].cell, "command": rerun(result, verdicts[0])})
    for verdict in verdicts:
        _case(suite, result, verdict)
    counted = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    for name, tag in counted.items():
        suite.set(name, str(sum(1 for _ in suite.iter(tag))))
    return suite


def _case(suite: Element, result: Result, verdict: Verdict) -> None:
    case = SubElement(
        suite, "testcase", {"classname": _text(verdict.name), "name": _text(verdict.metric)}
    )
    _properties(case, _facts(verdict))
    sentence = _text(verdict.sentence)
    failed = failure(result, verdict)
    if failed:
        tag = "error" if failed == "not run" else "failure"
        told = SubElement(case, tag, {"type": verdict.reason, "message": sentence})
        lines = [f"{verdict.verdict}: {verdict.sentence}", rerun(result, verdict)]
        told.text = _text("\n".join(filter(None, lines)))
    elif verdict.verdict in _SKIPPED:
        SubElement(case, "skipped", {"type": verdict.reason, "message": sentence})


def _facts(verdict: Verdict) -> dict[str, object]:
    numbers: dict[str, object] = {
        "value": verdict.value,
        "baseline": verdict.baseline,
        "tolerance": verdict.tolerance,
    }
    timing = {} if verdict.timing is None else verdict.timing.model_dump()
    return {"verdict": verdict.verdict, "reason": verdict.reason, **numbers, **timing}


def _properties(element: Element, facts: Mapping[str, object]) -> None:
    """Append what is known of these facts."""
    properties = SubElement(element, "properties")
    for name, value in facts.items():
        if value is not None:
            SubElement(properties, "property", {"name": name, "value": _text(str(value))})


def _text(text: str) -> str:
    return _NOT_XML.sub(_REPLACEMENT, text)
