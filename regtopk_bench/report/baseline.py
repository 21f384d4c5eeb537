"""A baseline as tables: when and why it changed, its numbers, and what accepting it changes."""

from __future__ import annotations

from collections.abc import Sequence

from regtopk_bench.report.table import NAME, WORDS, Column, Entry, Row, Table
from regtopk_bench.results.baseline import Baseline
from regtopk_bench.results.verdict import Verdict, told_apart

_SHOWN = 12
"""Characters of a digest that are shown; CSV and JSON have them all."""

_CELL = Column("cell", "cell", left=True, breaks=NAME)
_METRIC = Column("metric", "metric", left=True, breaks=NAME)


def baseline_tables(name: str, shown: Baseline) -> list[Table]:
    """Return the history of a baseline, and every number with its tolerance.

    Args:
        name: Of its file.
        shown: The baseline.
    """
    return [_history(name, shown), _numbers(shown)]


def changes_table(verdicts: Sequence[Verdict]) -> Table:
    """Return what differs from a baseline."""
    changed = changes(verdicts)
    columns = [
        _CELL,
        _METRIC,
        Column("was", "before"),
        Column("is", "value"),
        Column("", "sentence", left=True, hidden=True),
    ]
    rows = []
    for each in changed:
        value, before = told_apart(each.value, each.baseline)
        numbers = [_number(before, each.baseline), _number(value, each.value)]
        rows.append(Row([Entry(each.name), Entry(each.metric), *numbers, Entry(each.sentence)]))
    return Table(f"What changes: {len(changed)} of {len(verdicts)}", columns, rows)


def changes(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts on what differs from a baseline."""
    return [each for each in verdicts if each.verdict != "PASS"]


def _history(name: str, shown: Baseline) -> Table:
    where = shown.environment
    title = (
        f"{name}: profile {shown.profile}, {len(shown.cells)} cells, {where.get('cpu')} "
        f"({where.get('instructions')}), PyTorch {where.get('torch')}"
    )
    columns = [
        Column("date", "date", left=True),
        Column("reason", "reason", left=True, breaks=WORDS),
        Column("commit", "commit", left=True, spare=1),
    ]
    rows = [
        Row([Entry(each.date), Entry(each.reason), Entry((each.commit or "")[:_SHOWN])])
        for each in shown.history
    ]
    return Table(title, columns, rows)


def _numbers(shown: Baseline) -> Table:
    columns = [
        _CELL,
        _METRIC,
        Column("value", "value"),
        Column("± elsewhere", "tolerance", spare=1),
    ]
    rows = []
    for cell in shown.cells.values():
        for metric, each in cell.metrics.items():
            value, _ = told_apart(each.value, None)
            numbers = [_number(value, each.value), _number(f"{each.tolerance:.2g}", each.tolerance)]
            rows.append(Row([Entry(cell.name), Entry(metric), *numbers]))
        for metric, digest in cell.digests.items():
            shortened = Entry(f"{digest[:_SHOWN]}…" if len(digest) > _SHOWN else digest, digest)
            rows.append(Row([Entry(cell.name), Entry(metric), shortened, Entry("–", "")]))
    notes = ["elsewhere: on another machine or with other versions; here numbers must be equal"]
    return Table("Numbers", columns, rows, notes)


def _number(text: str, value: float | None) -> Entry:
    return Entry(text, "" if value is None else value)
