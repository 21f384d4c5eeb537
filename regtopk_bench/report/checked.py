"""What a check came to: its verdicts in order, counted, and how to run one cell again."""

from __future__ import annotations

import glob
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

from regtopk_bench.report.failures import failure
from regtopk_bench.report.title import setting
from regtopk_bench.results.judging import exit_code, nothing_judged
from regtopk_bench.results.schema import Result
from regtopk_bench.results.verdict import Kind, Verdict

_ORDER: Sequence[Kind] = ("FAIL", "MISSING", "NEW", "INCONCLUSIVE", "BETTER", "SKIPPED", "PASS")

_OUTCOMES = {
    0: "passed",
    1: "failed",
    3: "failed, as a cell could not be run",
    4: "inconclusive",
}
"""In words, by exit code."""

_ELSEWHERE = ("other-machine", "within-tolerance")
"""Reasons that there are only where a baseline is of another machine, or of other versions."""

_FOUND_AGAIN = ("built-in", "environment", "profile", "defaults")
"""Sources of settings that need no flag when a command is given again."""

_FLAGS = ("config", "baseline", "against", "cell_timeout")
_TIMING_FLAGS = ("time", "margin", "time_budget")


def ordered(result: Result) -> list[Verdict]:
    """Return the verdicts: those that fail the check first, then by how much they matter."""
    return sorted(
        result.verdicts,
        key=lambda each: (failure(result, each) is None, _ORDER.index(each.verdict)),
    )


def headline(result: Result) -> str:
    """Return what was checked, and the outcome in words."""
    profile = setting(result, "profile")
    of = "" if profile is None else f" of profile {profile}"
    return f"{result.command}{of}: {outcome(result)}"


def counts(result: Result) -> str:
    """Return how many verdicts there are of each kind, on how many cells."""
    verdicts = result.verdicts
    cells = len({each.cell for each in verdicts})
    found = Counter(each.verdict for each in verdicts)
    kinds = [f"{found[kind]} {kind}" for kind in ("PASS", *_ORDER[:-1]) if found[kind]]
    size = f"{_counted(cells, 'cell')}, {_counted(len(verdicts), 'metric')}"
    return f"{size}: {', '.join(kinds)}" if kinds else size


def is_news(verdict: Verdict) -> bool:
    """Tell whether a verdict is worth a line: no PASS, nor what a note says of all at once."""
    return verdict.verdict != "PASS" and verdict.reason not in _ELSEWHERE


def rerun(result: Result, verdict: Verdict) -> str | None:
    """Return the command that runs the cell of a verdict again.

    Returns:
        The command; None where there is none, as the result is not of a profile or does not have
        the cell.
    """
    profile = setting(result, "profile")
    if profile is None or verdict.reason == "missing-cell":
        return None
    words = ["regtopk-bench", "check", "--profile", str(profile), *_given(result, _FLAGS)]
    timing = setting(result, "timing") is True and verdict.timing is not None
    if timing or setting(result, "against") is not None:
        words += _given(result, _TIMING_FLAGS)
    if timing:
        words.append("--timing")
    return shlex.join([*words, "--select", _pattern(verdict.name)])


def _given(result: Result, names: Sequence[str]) -> Iterator[str]:
    """Yield the settings that are found again only by their flags, with these."""
    for name in names:
        given = result.settings.get(name)
        if given and given.value is not None and not given.source.startswith(_FOUND_AGAIN):
            for value in given.value if isinstance(given.value, list) else [given.value]:
                yield from (f"--{name.replace('_', '-')}", str(value))


def _pattern(name: str) -> str:
    """Return a pattern that matches a name; `?` is for what cannot be copied from a terminal."""
    visible = "".join(each if each.isprintable() else "\0" for each in name)
    return glob.escape(visible).replace("\0", "?")


def outcome(result: Result) -> str:
    """Return how a check ended, in words."""
    if not result.verdicts:
        return "nothing was checked"
    if nothing_judged(result.verdicts):
        return "nothing could be checked"
    code = exit_code(
        result.verdicts,
        strict=setting(result, "strict") is True,
        allow_new=setting(result, "allow_new") is True,
        allow_missing=setting(result, "allow_missing") is True,
    )
    return _OUTCOMES[code]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
