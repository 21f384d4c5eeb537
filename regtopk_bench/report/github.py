"""Verdicts for GitHub Actions: a summary of the job, and annotations of the run."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from regtopk_bench.report.checked import counts, headline, is_news, ordered, rerun
from regtopk_bench.report.failures import failure
from regtopk_bench.report.markdown import escaped
from regtopk_bench.report.table import Table, printable
from regtopk_bench.report.verdicts import verdict_tables
from regtopk_bench.results.schema import Result
from regtopk_bench.results.verdict import Verdict

MOST_ANNOTATIONS = 10
"""GitHub shows no more of each kind for one step."""

LONGEST_SUMMARY = 1_000_000
"""Bytes; GitHub refuses a summary of more than 1 MiB."""

_TOO_LONG = (
    "There is more than a summary can hold: see the output of the command, or its JUnit file."
)

_Level = Literal["error", "warning", "notice"]
_LEVELS: tuple[_Level, ...] = ("error", "warning", "notice")

_MESSAGE = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = _MESSAGE | str.maketrans({":": "%3A", ",": "%2C"})


def summary(result: Result) -> str:
    """Return the verdicts of a check as Markdown for the file that GITHUB_STEP_SUMMARY names.

    A headline, counts, a table of what did not pass, one of what was timed, and all verdicts in a
    section that is folded up. What is too long for GitHub is left out, and said to be.
    """
    head = f"## {escaped(printable(headline(result)))}\n\n{counts(result)}\n"
    if not result.verdicts:
        return head
    found = "\n".join(table.markdown() for table in _tables(result))
    every, *_ = verdict_tables(result, everything=True)
    table = replace(every, title="Metrics", notes=()).markdown()
    folded = f"<details>\n<summary>All metrics</summary>\n\n{table}\n</details>\n"
    for parts in ([head, found, folded], [head, found, f"{_TOO_LONG}\n"], [head, f"{_TOO_LONG}\n"]):
        text = "\n".join(parts)
        if len(text.encode()) <= LONGEST_SUMMARY:
            break
    return text


def annotations(result: Result) -> list[str]:
    """Return workflow commands, one for each line, that annotate a run on GitHub.

    Errors for what fails the check, warnings for what is INCONCLUSIVE, notices for all else that
    did not pass. There are no more of each than GitHub shows; a last line, which is no command,
    then says how many more there are.
    """
    found: Mapping[_Level, list[str]] = {level: [] for level in _LEVELS}
    for verdict in ordered(result):
        if is_news(verdict):
            level = _level(result, verdict)
            found[level].append(_command(level, result, verdict))
    lines = [line for level in _LEVELS for line in found[level][:MOST_ANNOTATIONS]]
    left = {level: len(each) - MOST_ANNOTATIONS for level, each in found.items()}
    more = [
        f"{count} more {level}{'s' * (count > 1)}" for level, count in left.items() if count > 0
    ]
    return [*lines, *([f"not annotated: {', '.join(more)}"] if more else [])]


def _level(result: Result, verdict: Verdict) -> _Level:
    if failure(result, verdict):
        return "error"
    return "warning" if verdict.verdict == "INCONCLUSIVE" else "notice"


def _command(level: _Level, result: Result, verdict: Verdict) -> str:
    title = printable(f"{verdict.verdict}: {verdict.metric}").translate(_PROPERTY)
    lines = [f"{verdict.name}: {verdict.sentence}", rerun(result, verdict)]
    message = "\n".join(printable(line) for line in lines if line).translate(_MESSAGE)
    return f"::{level} title={title}::{message}"


def _tables(result: Result) -> list[Table]:
    """Return the tables of what did not pass and of what was timed, without what heads them."""
    metrics, *timing = verdict_tables(result)
    title = "Metrics that did not pass" if metrics.rows else "Metrics: none failed"
    tables = [replace(metrics, title=title), *timing]
    tables[-1] = replace(tables[-1], notes=tables[-1].notes[:-1])  # counts
    return tables
