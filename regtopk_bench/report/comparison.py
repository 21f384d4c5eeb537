"""Algorithms against their baselines on the same seeds: how different, and how certain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from regtopk_bench.algorithms import algorithm
from regtopk_bench.report.table import NAME, WORDS, Column, Entry, Row, Table
from regtopk_bench.results.labels import labels
from regtopk_bench.results.schema import Run
from regtopk_bench.results.summary import Comparison, Group, compare

Measure = Callable[[Run], float]

_SELECTION = ("density", "k", "scope")
"""What two sparsifiers must share to select the same number of entries."""


def comparison_table(
    groups: Sequence[Group], of_what: str, better: str, measures: Mapping[str, Measure], digits: int
) -> Table | None:
    """Compare each algorithm with its baseline where the two differ in nothing else.

    Args:
        groups: The runs of all algorithms.
        of_what: What is compared, for the title; may be empty.
        better: Which sign is good, for the title.
        measures: What is compared, by name.
        digits: Decimal places of a difference.

    Returns:
        The table; None if no pair has two seeds in common.
    """
    named = labels(group.cell for group in groups)
    rows, titles = [], set()
    for ours, theirs in _pairs(groups):
        label = str(named[ours.cell.group])
        for name, measure in measures.items():
            found = compare(ours, theirs, measure)
            if found:
                which = [Entry(label), Entry(f"{ours.density:g}", ours.density), Entry(name)]
                rows.append(Row([*which, *_entries(found, digits)]))
                titles.add(f"{_label(ours)} minus {_label(theirs)}")
    if not rows:
        return None
    several = len({row.entries[0].text for row in rows}) > 1
    columns = [
        Column("algorithm", "algorithm", left=True, breaks=NAME, hidden=not several),
        Column("density", "density"),
        Column("of", "of", left=True, breaks=WORDS),
        Column("difference", "difference"),
        Column("p\n(t-test)", "p_t", spare=1),
        Column("p\n(Wilcoxon)", "p_wilcoxon", spare=2),
        Column("seeds", "seeds", spare=3),
    ]
    title = " and ".join(sorted(titles))
    return Table(f"{title}{of_what}, paired by seed ({better})", columns, rows)


def _label(group: Group) -> str:
    return algorithm(group.cell.algorithm).label


def _pairs(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Return each group with that of its baseline: same problem, recipe and number of entries."""
    return [
        (ours, theirs)
        for ours in groups
        for theirs in groups
        if theirs.cell.algorithm == algorithm(ours.cell.algorithm).baseline
        and _setting(ours) == _setting(theirs)
    ]


def _setting(group: Group) -> tuple[object, ...]:
    cell = group.cell
    return cell.problem, cell.recipe, [cell.sparsifier.get(name) for name in _SELECTION]


def _entries(found: Comparison, digits: int) -> list[Entry]:
    difference, half_width = found.difference.mean, found.difference.half_width
    return [
        Entry(f"{difference:+.{digits}f}±{half_width:.{digits}f}", difference),
        Entry(f"{found.p_t:.2g}", found.p_t),
        Entry(f"{found.p_wilcoxon:.2g}", found.p_wilcoxon),
        Entry(str(found.seeds), found.seeds),
    ]
