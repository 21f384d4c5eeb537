from __future__ import annotations

import re

import pytest

from regtopk_bench.report.github import annotations, summary
from regtopk_bench.results.verdict import Kind, Reason
from tests.report.verdicts import HOSTILE, ONE_OF_EACH, TIMED, checked, verdict

COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)")


def rows(text: str) -> list[list[str]]:
    """Return the entries of every row of every table, split at bare pipes."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[entry.strip() for entry in line.strip("|").split("|")] for line in lines]


def decoded(text: str) -> str:
    for escape, character in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n")):
        text = text.replace(escape, character)
    return text.replace("%25", "%")


def test_a_summary() -> None:
    passed = verdict(metric="time", timing=TIMED, cell="7")
    text = summary(checked(verdict("FAIL", "worse", metric="up_bytes"), passed, verdict()))
    assert text == (
        "## regtopk-bench check: failed, by 1 of 3 verdicts on 2 cells\n\n"
        "2 PASS, 1 FAIL\n\n"
        "| Verdict | Cell | Metric | Why |\n| :-- | :-- | :-- | :-- |\n"
        "| **FAIL** | cell 0 | up\\_bytes | it is worse |\n\n"
        "| Cell | Verdict | Time ratio | Interval | Margin | Detectable | Pairs |\n"
        "| :-- | :-- | --: | --: | --: | --: | --: |\n"
        "| cell 7 | PASS | 1.250 | 1.125 – 1.500 | 0.05 | 1.062 | 12 |\n\n"
    )


def test_what_fails_comes_first_and_what_passed_is_only_counted() -> None:
    found = [row[0] for row in rows(summary(checked(*ONE_OF_EACH)))][2:9]
    failing = ["**FAIL**", "**NEW**", "**MISSING**", "**FAIL**", "**FAIL**"]
    assert found == [*failing, "BETTER", "SKIPPED"]
    allowed = summary(checked(*ONE_OF_EACH, allow_new=True, allow_missing=True))
    assert "**NEW**" not in allowed
    assert "| NEW |" in allowed


@pytest.mark.parametrize(
    ("verdicts", "headline"),
    [
        ([], "no verdicts"),
        ([verdict()], "passed, 1 verdict on 1 cell"),
        ([verdict(), verdict("INCONCLUSIVE", "too-noisy")], "passed, 1 of 2 verdicts on 1 cell in"),
        ([verdict("FAIL", "worse")], "failed, by 1 of 1 verdict on 1 cell"),
    ],
)
def test_headlines(verdicts: list, headline: str) -> None:
    assert summary(checked(*verdicts)).startswith(f"## regtopk-bench check: {headline}")


def test_numbers_that_do_not_exist_are_dashes() -> None:
    unknown = TIMED.model_copy(update={"ratio": None, "low": None, "high": None})
    row = rows(summary(checked(verdict(timing=unknown))))[-1]
    assert row[2:4] == ["–", "– – –"]


def test_hostile_text_stays_in_its_entry() -> None:
    hostile = verdict("FAIL", "worse", name=HOSTILE, metric=HOSTILE, sentence=HOSTILE, timing=TIMED)
    text = summary(checked(hostile))
    assert [len(row) for row in rows(text)] == [4, 4, 4, 7, 7, 7]
    assert len(text.splitlines()) == 12
    assert text.replace("\n", "").isprintable()
    assert "<script" not in text
    assert text.isascii() or text.encode()


def test_many_rows_and_long_sentences_are_cut() -> None:
    many = [verdict("FAIL", "worse", cell=str(cell), sentence="x" * 9999) for cell in range(600)]
    text = summary(checked(*many))
    assert len(rows(text)) == 502
    assert "\n\nand 100 more\n" in text
    assert len(text.encode()) < 1 << 20


def test_annotations() -> None:
    found = [COMMAND.fullmatch(line) for line in annotations(checked(*ONE_OF_EACH))]
    assert [each and each[1] for each in found] == [*["error"] * 5, "warning", "notice"]
    assert annotations(checked(ONE_OF_EACH[1])) == [
        "::error title=cell 0 loss%3A FAIL::it is worse"
    ]
    assert annotations(checked(verdict(), verdict("SKIPPED", "no-cuda"))) == []


def test_what_is_allowed_is_not_annotated() -> None:
    new = verdict("NEW", "new-cell")
    assert len(annotations(checked(new))) == 1
    assert annotations(checked(new, allow_new=True)) == []


def test_hostile_text_stays_in_its_annotation() -> None:
    [line] = annotations(checked(verdict("BETTER", "better", name=HOSTILE, sentence=HOSTILE)))
    found = COMMAND.fullmatch(line)
    assert found
    assert line.isprintable()
    for text in (decoded(found[2]), decoded(found[3])):
        assert "a|b\\|c\n## d\r\n::error::e ]]> <script>&amp; `f` %0A,g:h \\x00\\x1b[31m" in text
    assert line.encode()


@pytest.mark.parametrize(
    ("kind", "reason"), [("FAIL", "worse"), ("INCONCLUSIVE", "too-noisy"), ("BETTER", "better")]
)
@pytest.mark.parametrize(("count", "shown"), [(10, 10), (11, 10), (25, 10)])
def test_there_are_at_most_ten_of_a_kind(
    kind: Kind, reason: Reason, count: int, shown: int
) -> None:
    lines = annotations(checked(*(verdict(kind, reason, cell=str(n)) for n in range(count))))
    assert len(lines) == shown
    more = count - shown + 1
    assert (f"and {more} more" in lines[-1]) == (count > shown)
