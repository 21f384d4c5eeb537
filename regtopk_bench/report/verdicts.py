"""Tables of a check: what failed first, and what its timing could have seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regtopk_bench.report.checked import counts, headline, is_news, ordered, rerun
from regtopk_bench.report.failures import failure
from regtopk_bench.report.table import WORDS, Column, Command, Entry, Row, Table
from regtopk_bench.results.schema import Result
from regtopk_bench.results.verdict import Timing, Verdict, told_apart

_VERDICT = Column("verdict", "verdict", left=True)
_CELL = Column("cell", "cell", left=True, breaks="/, ")
_REASON = Column("reason", "reason", left=True, breaks="-")
_FOR_PROGRAMS = (
    Column("key", "key", left=True, hidden=True),
    Column("sentence", "sentence", left=True, hidden=True),
)
_COLUMNS = (
    _VERDICT,
    _CELL,
    Column("metric", "metric", left=True, breaks="_. "),
    Column("value", "value"),
    Column("baseline", "baseline", spare=1),
    Column("tolerated", "tolerance", spare=2),
    _REASON,
    *_FOR_PROGRAMS,
)
_TIMING_COLUMNS = (
    _VERDICT,
    _CELL,
    Column("time ratio\n[interval]", "ratio", breaks=WORDS),
    Column("low", "low", hidden=True),
    Column("high", "high", hidden=True),
    Column("margin", "margin", spare=3),
    Column("can\ndetect", "detectable", spare=1),
    Column("pairs", "pairs", spare=2),
    _REASON,
    *_FOR_PROGRAMS,
)


def verdict_tables(result: Result, *, everything: bool = False) -> list[Table]:
    """Return the verdicts of a check, those that fail it first, and those on timing apart.

    Below each table are the sentences of its failures with the commands that run their cells
    again; the last line of all counts the verdicts.

    Args:
        result: The result of a check.
        everything: Whether there is a row for what passed, and for each digest that could not be
            compared; timing always has all its rows.
    """
    verdicts = ordered(result)
    plain = [each for each in verdicts if each.timing is None]
    timed = [each for each in verdicts if each.timing is not None]
    rows = [_row(result, each) for each in plain if everything or is_news(each)]
    marked = ["* fails the check"] if any(row.marked for row in rows) else []
    notes = [*marked, *_failures(result, plain)]
    tables = [Table(headline(result), _COLUMNS if rows or everything else (), rows, notes)]
    if timed:
        times = [_timing_row(result, each) for each in timed]
        below = [*_failures(result, timed), *_legend(timed)]
        tables.append(Table("Timing: pairs of processes", _TIMING_COLUMNS, times, below))
    last = tables[-1]
    notes = [*last.notes, *result.notes, counts(result)]
    tables[-1] = Table(last.title, last.columns, last.rows, notes)
    return tables


def _failures(result: Result, verdicts: Iterable[Verdict]) -> Iterator[str | Command]:
    """Yield the sentences of failures, cell by cell, each with its command."""
    by_cell: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if failure(result, verdict):
            by_cell.setdefault(verdict.cell, []).append(verdict)
    for failing in by_cell.values():
        yield from (f"{each.name}: {each.sentence}" for each in failing)
        command = rerun(result, failing[0])
        if command:
            yield Command(command)


def _row(result: Result, verdict: Verdict) -> Row:
    value, baseline = told_apart(verdict.value, verdict.baseline)
    tolerance = "–" if verdict.tolerance is None else f"{verdict.tolerance:.2g}"
    return _of(
        result,
        verdict,
        Entry(verdict.metric),
        Entry(value, _raw(verdict.value)),
        Entry(baseline, _raw(verdict.baseline)),
        Entry(tolerance, _raw(verdict.tolerance)),
    )


def _timing_row(result: Result, verdict: Verdict) -> Row:
    timing = verdict.timing
    assert timing is not None
    return _of(
        result,
        verdict,
        Entry(interval(timing), _raw(timing.ratio)),
        Entry(_ratio(timing.low), _raw(timing.low)),
        Entry(_ratio(timing.high), _raw(timing.high)),
        Entry(f"{timing.margin:g}", timing.margin),
        Entry(_ratio(timing.detectable), _raw(timing.detectable)),
        Entry(str(timing.pairs), timing.pairs),
    )


def _of(result: Result, verdict: Verdict, *entries: Entry) -> Row:
    return Row(
        [
            Entry(verdict.verdict),
            Entry(verdict.name),
            *entries,
            Entry(verdict.reason),
            Entry(verdict.cell),
            Entry(verdict.sentence),
        ],
        marked=failure(result, verdict) is not None,
    )


def _legend(timed: Iterable[Verdict]) -> list[str]:
    """Return what a column means that this report alone has."""
    detectable = "can detect: the least slowdown that would be found in 95 % of such checks"
    return [detectable] if any(each.timing and each.timing.detectable for each in timed) else []


def interval(timing: Timing) -> str:
    """Return a ratio of times with its interval, as far as they are known."""
    known = timing.low is not None and timing.high is not None
    ends = f" [{_ratio(timing.low)}, {_ratio(timing.high)}]" if known else ""
    return f"{_ratio(timing.ratio)}{ends}"


def _ratio(value: int | float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"


def _raw(value: int | float | None) -> int | float | str:
    return "" if value is None else value
