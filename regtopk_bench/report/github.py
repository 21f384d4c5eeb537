"""Verdicts for GitHub Actions: a summary of the job, and annotations of the run."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from regtopk_bench.report.failures import failure
from regtopk_bench.report.table import printable
from regtopk_bench.results.schema import Result
from regtopk_bench.results.verdict import Kind, Timing, Verdict

_MOST_ANNOTATIONS = 10
"""GitHub shows no more of each kind for one step."""

_MOST_ROWS = 500
"""GitHub refuses a summary of more than 1 MiB."""

_LONGEST = 500
"""Characters of a cell of a table."""

_MARKDOWN = re.compile(r"[\\`*_\[\]~#$]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"})
_MESSAGE = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = _MESSAGE | str.maketrans({":": "%3A", ",": "%2C"})


def summary(result: Result) -> str:
    """Return the verdicts of a check as Markdown.

    A headline, how many verdicts there are of each kind, a table of those that are not PASS, those
    that fail the check first, and a table of what was timed.
    """
    verdicts = result.verdicts
    failures = [each for each in verdicts if failure(result, each)]
    others = [each for each in verdicts if each.verdict != "PASS" and not failure(result, each)]
    parts = [f"## {_cell(f'regtopk-bench {result.command}')}: {_headline(verdicts, failures)}"]
    counts = Counter(each.verdict for each in verdicts)
    if counts:
        parts.append(", ".join(f"{counts[kind]} {kind}" for kind in get_args(Kind) if counts[kind]))
    if failures or others:
        parts.append(_not_passed(failures, others))
    timed = [(each, each.timing) for each in verdicts if each.timing is not None]
    if timed:
        parts.append(_times(timed))
    return "\n\n".join(parts) + "\n\n"


def annotations(result: Result) -> list[str]:
    """Return workflow commands, one for each line, that annotate a run on GitHub.

    Errors for verdicts that fail the check, warnings for those that are INCONCLUSIVE, notices for
    those that are BETTER; of each at most as many as GitHub shows, the last one saying how many
    more there are.
    """
    failures = [each for each in result.verdicts if failure(result, each)]
    return [
        *_annotated("error", failures),
        *_annotated("warning", _of(result, "INCONCLUSIVE")),
        *_annotated("notice", _of(result, "BETTER")),
    ]


def _of(result: Result, kind: Kind) -> list[Verdict]:
    return [each for each in result.verdicts if each.verdict == kind]


def _annotated(level: str, verdicts: Sequence[Verdict]) -> Iterable[str]:
    too_many = len(verdicts) > _MOST_ANNOTATIONS
    shown = verdicts[: _MOST_ANNOTATIONS - 1] if too_many else verdicts
    for each in shown:
        yield _command(level, f"{each.name} {each.metric}: {each.verdict}", each.sentence)
    if too_many:
        more = len(verdicts) - len(shown)
        yield _command(level, "regtopk-bench", f"and {more} more: see the output of the command")


def _command(level: str, title: str, message: str) -> str:
    shown = _visible(message).translate(_MESSAGE)
    return f"::{level} title={_visible(title).translate(_PROPERTY)}::{shown}"


def _visible(text: str) -> str:
    """Return a text with escapes for what steers a terminal; GitHub's own stand for line breaks."""
    return "".join(each if each in "\r\n" else printable(each) for each in text)


def _headline(verdicts: Sequence[Verdict], failures: Sequence[Verdict]) -> str:
    if not verdicts:
        return "no verdicts"
    cells = len({each.cell for each in verdicts})
    of = f"{len(verdicts)} {_plural('verdict', len(verdicts))} on {cells} {_plural('cell', cells)}"
    if failures:
        return f"failed, by {len(failures)} of {of}"
    unclear = sum(each.verdict == "INCONCLUSIVE" for each in verdicts)
    return f"passed, {unclear} of {of} inconclusive" if unclear else f"passed, {of}"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _not_passed(failures: Sequence[Verdict], others: Sequence[Verdict]) -> str:
    failing = [("**{}**", each) for each in failures]
    rows = [
        (mark.format(each.verdict), _cell(each.name), _cell(each.metric), _cell(each.sentence))
        for mark, each in [*failing, *(("{}", each) for each in others)]
    ]
    return _table(("Verdict", "Cell", "Metric", "Why"), rows, left=4)


def _times(timed: Sequence[tuple[Verdict, Timing]]) -> str:
    rows = [
        (
            _cell(each.name),
            each.verdict,
            _number(timing.ratio),
            f"{_number(timing.low)} – {_number(timing.high)}",
            f"{timing.margin:g}",
            _number(timing.detectable),
            str(timing.pairs),
        )
        for each, timing in timed
    ]
    headings = ("Cell", "Verdict", "Time ratio", "Interval", "Margin", "Detectable", "Pairs")
    return _table(headings, rows, left=2)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Return a table whose first columns are flush left."""
    rule = [":--"] * left + ["--:"] * (len(headings) - left)
    lines = [f"| {' | '.join(entries)} |" for entries in (headings, rule, *rows[:_MOST_ROWS])]
    if len(rows) > _MOST_ROWS:
        lines += ["", f"and {len(rows) - _MOST_ROWS} more"]
    return "\n".join(lines)


def _number(value: int | float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    """Return a text that keeps to its line and its column, and that Markdown shows as it is."""
    shown = printable(text)
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]}…"
    return _MARKDOWN.sub(r"\\\g<0>", shown).translate(_ENTITIES)
