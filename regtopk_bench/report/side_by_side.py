"""Two results side by side: value, value, difference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from regtopk_bench.report.numbers import number
from regtopk_bench.report.table import Column, Entry, Row, Table
from regtopk_bench.results.pairing import Line, Measured, Pairing, paired
from regtopk_bench.results.summary import Estimate

_MISSING = Entry("–", "")


def side_by_side(
    title: str, first: Sequence[Measured], second: Sequence[Measured], *, everything: bool = True
) -> Table:
    """Return the values of two results, A and B, by configuration.

    Args:
        title: Of the table.
        first: Of A.
        second: Of B.
        everything: Whether there are rows for what is equal, and for what only one of them has.
    """
    found = paired(first, second)
    changed = [line for line in found.lines if line.difference and not line.same]
    lines = found.lines if everything else changed
    columns = [
        Column("cell", "cell", left=True, breaks="/, "),
        Column("metric", "metric", left=True, breaks="_"),
        Column("A", "a"),
        Column("B", "b"),
        Column("B − A", "difference"),
        Column("± 95 %", "half_width", hidden=True),
        Column("seeds", "seeds"),
        Column("only in", "only", hidden=True),
    ]
    return Table(title, columns, list(_rows(lines)), _notes(found, lines))


def _rows(lines: Sequence[Line]) -> Iterator[Row]:
    for at, line in enumerate(lines):
        last = line.name not in (each.name for each in lines[at + 1 : at + 2])
        change, only = line.difference, ""
        if change is None:
            only = "A" if line.second is None else "B"
        entries = [
            *(Entry(line.name), Entry(line.metric)),
            *(_number(line.first), _number(line.second), _change(change)),
            _MISSING if change is None or change.half_width is None else _number(change.half_width),
            *(Entry(str(line.seeds), line.seeds), Entry(only)),
        ]
        yield Row(entries, section_ends=last)


def _number(value: float | None) -> Entry:
    if value is None or not math.isfinite(value):
        return _MISSING
    whole = value.is_integer() and abs(value) < 1e12
    return Entry(f"{value:.0f}" if whole else f"{value:.6g}", value)


def _change(change: Estimate | None) -> Entry:
    if change is None or not math.isfinite(change.mean):
        return _MISSING
    return Entry(number(change, sign="+"), change.mean)


def _notes(found: Pairing, lines: Sequence[Line]) -> list[str]:
    notes = []
    if found.differing:
        told = [f"{name} {a} in A and {b} in B" for name, (a, b) in found.differing.items()]
        notes.append(f"paired disregarding {', '.join(told)}")
    if any(line.difference and line.seeds > 1 for line in lines):
        notes.append("means over the seeds that both have; ±: 95 % interval, paired by seed")
    notes += _alone(found.lines)
    for name, ours, theirs in found.unpaired:
        for side, seeds in (("A", ours), ("B", theirs)):
            if seeds:
                notes.append(f"only {side} has seeds {', '.join(map(str, seeds))} of {name}")
    same = sum(line.same for line in found.lines) - sum(line.same for line in lines)
    if same:
        notes.append(f"equal, and not shown: {same} more values")
    return notes


def _alone(lines: Sequence[Line]) -> Iterator[str]:
    """Say which configurations only one of the results has."""
    ours = dict.fromkeys(line.name for line in lines if line.first is not None)
    theirs = dict.fromkeys(line.name for line in lines if line.second is not None)
    for side, own, other in (("A", ours, theirs), ("B", theirs, ours)):
        alone = [name for name in own if name not in other]
        if alone:
            yield f"only {side} has {', '.join(alone)}"
