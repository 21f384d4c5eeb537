from __future__ import annotations

import math
import re
from typing import get_args

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from regtopk_bench.report.github import LONGEST_SUMMARY, annotations, summary
from regtopk_bench.report.markdown import code, escaped
from regtopk_bench.report.table import printable
from regtopk_bench.results import Result
from regtopk_bench.results.verdict import Kind, Reason
from tests.results.samples import HOSTILE, check, timing, verdict

GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TORCH = "torch was 2.13.0 and is 2.14.0"


def text_of(token: Token) -> str:
    """Return what a reader sees of a line."""
    assert not {each.type for each in token.children or []} & {
        "html_inline",
        "link_open",
        "em_open",
    }
    return "".join(each.content for each in token.children or [])


def tables(markdown: str) -> list[list[list[str]]]:
    """Return the rows of each table as GitHub renders it, with the text that readers see."""
    found: list[list[list[str]]] = []
    for token in GITHUB.parse(markdown):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and token.level > 2 and found:
            found[-1][-1].append(text_of(token))
    return found


def test_a_headline_counts_and_what_did_not_pass() -> None:
    fails = verdict("FAIL", "worse", name="a", value=2, baseline=1, tolerance=0.0)
    text = summary(check([verdict(name="a", metric="loss"), fails]))
    assert text.startswith("## check of profile ci: failed\n\n1 cell, 2 metrics: 1 PASS, 1 FAIL\n")
    short, every = tables(text)
    heading = ["verdict", "cell", "metric", "value", "baseline", "tolerated", "reason"]
    assert short == [heading, ["FAIL *", "a", "gap", "2", "1", "0", "worse"]]
    assert every == [*short, ["PASS", "a", "loss", "–", "–", "–", "equal"]]
    assert "`regtopk-bench check --profile ci --select a`" in text


def test_what_passed_is_folded_up() -> None:
    blocks = [token.content for token in GITHUB.parse(summary(check([verdict()])))]
    opened = blocks.index("<details>\n<summary>All metrics</summary>\n")
    closed = blocks.index("</details>\n")
    assert opened < blocks.index("PASS") < closed
    assert blocks.count("PASS") == 1


def test_timing_has_its_own_table_even_where_it_passes() -> None:
    timed = verdict("PASS", "equivalent", metric="time", timing=timing())
    times = tables(summary(check([timed])))[0]
    assert times[0][2:6] == ["time ratio [interval]", "margin", "can detect", "pairs"]
    assert times[1][2:6] == ["1.012 [0.981, 1.045]", "1.1", "1.062", "14"]


def test_nothing_checked_is_said() -> None:
    assert (
        summary(check([])) == "## check of profile ci: nothing was checked\n\n0 cells, 0 metrics\n"
    )
    assert annotations(check([])) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_name_contains_it_is_one_cell_of_the_table(name: str) -> None:
    result = check([verdict("FAIL", "worse", name=name, metric=name, sentence=name)], profile=name)
    for table in tables(summary(result)):
        (row,) = table[1:]
        assert len(row) == 7
        assert row[1:3] == [printable(name).strip()] * 2
    heading = next(token for token in GITHUB.parse(summary(result)) if token.type == "inline")
    assert text_of(heading) == f"check of profile {printable(name)}: failed"


def test_an_underscore_within_a_word_needs_no_escape() -> None:
    assert escaped("uplink_bytes _a_ pkg._Mine") == r"uplink_bytes \_a\_ pkg.\_Mine"


@pytest.mark.parametrize("text", ["a", "`", "a``b`", "``` x", r"\|"])
def test_code_is_shown_as_it_is(text: str) -> None:
    (block,) = (token for token in GITHUB.parse(code(text)) if token.type == "inline")
    assert [(each.type, each.content) for each in block.children or []] == [("code_inline", text)]


@pytest.mark.parametrize(
    ("count", "tables_left", "told"), [(1000, 2, False), (4000, 1, True), (9000, 0, True)]
)
def test_a_summary_is_not_longer_than_github_takes(
    count: int, tables_left: int, told: bool
) -> None:
    found = [
        verdict("FAIL", "worse", name=f"linreg/{number}", sentence="it is so" * 5)
        for number in range(count)
    ]
    text = summary(check(found))
    assert len(text.encode()) <= LONGEST_SUMMARY
    assert text.count("| verdict | cell |") == tables_left
    assert f"{count} FAIL" in text
    assert ("more than a summary can hold" in text) == told


def message(line: str) -> tuple[str, str, str]:
    """Return kind, title and message as the runner of GitHub reads them."""
    found = re.fullmatch(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)", line)
    assert found
    kind, title, text = found.groups()
    for escape, meant in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        title = title.replace(escape, meant)
        text = text.replace(escape, meant) if escape not in ("%3A", "%2C") else text
    return kind, title, text


def test_every_kind_has_its_annotation() -> None:
    levels: dict[Kind, str | None] = {
        "PASS": None,
        "FAIL": "error",
        "INCONCLUSIVE": "warning",
        "NEW": "error",
        "MISSING": "error",
        "BETTER": "notice",
        "SKIPPED": "notice",
    }
    assert set(levels) == set(get_args(Kind))
    for kind, level in levels.items():
        found = [message(line)[0] for line in annotations(check([verdict(kind, "changed")]))]
        assert found == ([level] if level else [])
    allowed = check([verdict("NEW", "new-cell"), verdict("MISSING", "missing-cell")])
    assert [message(line)[0] for line in annotations(allowed)] == ["error", "error"]
    allowed = check(allowed.verdicts, allow_new=True, allow_missing=True)
    assert [message(line)[0] for line in annotations(allowed)] == ["notice", "notice"]


def test_an_annotation_says_why_and_how_to_run_the_cell_again() -> None:
    fails = verdict("FAIL", "worse", name="a, b", sentence="5% worse: 1 → 2")
    (line,) = annotations(check([fails]))
    assert line == (
        "::error title=FAIL%3A gap::a, b: 5%25 worse: 1 → 2"
        "%0Aregtopk-bench check --profile ci --select 'a, b'"
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_starts_another_command(name: str) -> None:
    (line,) = annotations(check([verdict("FAIL", "worse", name=name, metric=name, sentence=name)]))
    assert line.isprintable()
    kind, title, text = message(line)
    assert (kind, title) == ("error", f"FAIL: {printable(name)}")
    said, _ = text.split("\n")
    assert said == f"{printable(name)}: {printable(name)}"


@pytest.mark.parametrize(
    ("count", "last"), [(10, None), (11, "1 more error"), (12, "2 more errors")]
)
def test_there_are_no_more_annotations_than_github_shows(count: int, last: str | None) -> None:
    found = [verdict("FAIL", "worse", metric=str(number)) for number in range(count)]
    found += [verdict("INCONCLUSIVE", "too-noisy")] * 3
    lines = annotations(check(found))
    commands = [message(line)[0] for line in lines if line.startswith("::")]
    assert commands == ["error"] * 10 + ["warning"] * 3
    assert lines[13:] == ([f"not annotated: {last}"] if last else [])


@pytest.mark.parametrize("reason", get_args(Reason))
@pytest.mark.parametrize("kind", ["FAIL", "SKIPPED", "INCONCLUSIVE"])
def test_every_reason_is_in_the_summary(kind: Kind, reason: Reason) -> None:
    odd = verdict(kind, reason, value=math.nan, baseline=math.inf, sentence=f"so, as {TORCH}")
    *_, every = tables(summary(check([odd])))
    assert every[1][-1] == reason
    assert every[1][3:5] == ["–", "–"]


def test_what_another_machine_did_is_one_line_and_no_annotation() -> None:
    found = [verdict("SKIPPED", "other-machine", sentence=f"so, as {TORCH}")] * 5
    result: Result = check(found).model_copy(update={"notes": [f"another machine: {TORCH}"]})
    assert annotations(result) == []
    assert summary(result).count(TORCH) == 1
