"""What a check found, as tables: what failed first, and how much timing could have seen."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

from regtopk_bench.report.failures import failure
from regtopk_bench.report.table import Column, Command, Entry, Row, Table
from regtopk_bench.results.schema import Result
from regtopk_bench.results.verdict import Kind, Verdict

_ORDER: tuple[Kind, ...] = ("FAIL", "MISSING", "NEW", "INCONCLUSIVE", "BETTER", "SKIPPED", "PASS")
_ELSEWHERE = ("other-machine", "within-tolerance")
_MANY = 20


def verdict_tables(result: Result, *, everything: bool = False) -> list[Table]:
    """Return the tables of a check: verdicts on numbers, then those on times.

    Args:
        result: Of a check.
        everything: Whether verdicts of PASS are listed as well.
    """
    ordered = sorted(result.verdicts, key=lambda each: _ORDER.index(each.verdict))
    numbers = [each for each in ordered if each.timing is None]
    times = [each for each in ordered if each.timing is not None]
    shown = [each for each in numbers if everything or _is_told(each)]
    notes = [*_failures(result, ordered), *_elsewhere(numbers), _sum(result)]
    tables = [_numbers(shown)] if shown else []
    tables += [_times(times)] if times else []
    if not tables:
        return [Table("Verdicts: nothing but PASS", [], [], notes)]
    *others, last = tables
    return [*others, Table(last.title, last.columns, last.rows, [*last.notes, *notes])]


def _is_told(each: Verdict) -> bool:
    return each.verdict != "PASS" and each.reason not in _ELSEWHERE


def _numbers(verdicts: Sequence[Verdict]) -> Table:
    columns = [
        Column("verdict", "verdict", left=True),
        Column("cell", "cell", left=True, breaks="/"),
        Column("metric", "metric", left=True, breaks="_"),
        Column("value", "value"),
        Column("baseline", "baseline"),
        Column("tolerance", "tolerance", hidden=True),
        Column("reason", "reason", left=True, breaks="-"),
        Column("key", "key", hidden=True),
        Column("sentence", "sentence", hidden=True),
    ]
    rows = [
        Row(
            [
                Entry(each.verdict),
                Entry(each.name),
                Entry(each.metric),
                _number(each.value),
                _number(each.baseline),
                _number(each.tolerance),
                Entry(each.reason),
                Entry(each.cell),
                Entry(each.sentence),
            ]
        )
        for each in verdicts
    ]
    return Table("Verdicts on numbers", columns, rows)


def _times(verdicts: Sequence[Verdict]) -> Table:
    columns = [
        Column("verdict", "verdict", left=True),
        Column("cell", "cell", left=True, breaks="/"),
        Column("times as\nlong", "ratio"),
        Column("from", "low"),
        Column("to", "high"),
        Column("would have\nfound", "detectable"),
        Column("pairs", "pairs"),
        Column("reason", "reason", left=True, breaks="-"),
        Column("margin", "margin", hidden=True),
        Column("key", "key", hidden=True),
        Column("sentence", "sentence", hidden=True),
    ]
    rows = []
    for each in verdicts:
        assert each.timing is not None
        timing = each.timing
        ratios = (timing.ratio, timing.low, timing.high, timing.detectable)
        rows.append(
            Row(
                [
                    Entry(each.verdict),
                    Entry(each.name),
                    *(_ratio(ratio) for ratio in ratios),
                    Entry(str(timing.pairs), timing.pairs),
                    Entry(each.reason),
                    Entry(f"{timing.margin:g}", timing.margin),
                    Entry(each.cell),
                    Entry(each.sentence),
                ]
            )
        )
    margin = verdicts[0].timing.margin if verdicts[0].timing else 1.0
    notes = [
        f"times as long: head over base; from, to: its interval at the level of the verdict, "
        f"corrected for {len(rows)} rows and for looking several times; margin {margin:g}",
        "would have found: the slowdown that as many pairs with this noise show in 95 % of runs",
    ]
    return Table("Verdicts on times", columns, rows, notes)


def _failures(result: Result, ordered: Sequence[Verdict]) -> list[str | Command]:
    """Return what failed, in sentences, each cell with the command that runs it alone."""
    told: list[str | Command] = []
    last = None
    failures = [each for each in ordered if failure(result, each)]
    for each in failures[:_MANY]:
        told.append(f"{each.verdict} {each.name}: {each.sentence}")
        if each.cell != last and each.verdict != "MISSING":
            told.append(Command(_again(result, each)))
        last = each.cell
    if len(failures) > _MANY:
        told.append(f"and {len(failures) - _MANY} more: see --format json")
    return told


def _again(result: Result, verdict: Verdict) -> str:
    pattern = verdict.name.replace("[", "[[]")
    command = ["regtopk-bench", "check"]
    for name in ("profile", "baseline", "against"):
        setting = result.settings.get(name)
        if setting is not None and setting.value and setting.source != "built-in":
            command += [f"--{name}", str(setting.value)]
    return shlex.join([*command, "--select", pattern])


def _elsewhere(verdicts: Sequence[Verdict]) -> list[str]:
    """Say once, not for every number, that the baseline is of another machine."""
    found = Counter(each.reason for each in verdicts if each.reason in _ELSEWHERE)
    if not found:
        return []
    why = next(each.sentence for each in verdicts if each.reason in _ELSEWHERE)
    why = why.partition(", as ")[2]
    return [
        f"the baseline is of another machine or other versions ({why}): {found['other-machine']} "
        f"digests are not compared, {found['within-tolerance']} numbers differ within tolerance"
    ]


def _sum(result: Result) -> str:
    counts = Counter(each.verdict for each in result.verdicts)
    cells = len({each.cell for each in result.verdicts})
    told = [f"{counts[name]} {name}" for name in _ORDER[::-1] if counts[name]]
    return f"{cells} cells, {len(result.verdicts)} verdicts: {', '.join(told) or 'none'}"


def _number(value: float | None) -> Entry:
    return Entry("–", "") if value is None else Entry(f"{value:.7g}", value)


def _ratio(value: float | None) -> Entry:
    return Entry("–", "") if value is None else Entry(f"{value:.3f}", value)
