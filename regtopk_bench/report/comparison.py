"""RegTop-k against Top-k on the same seeds: how large the difference is, and how certain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from regtopk_bench.report.table import Column, Entry, Row, Table
from regtopk_bench.results.labels import labels
from regtopk_bench.results.schema import Run
from regtopk_bench.results.summary import Comparison, Group, compare

Measure = Callable[[Run], float]

_SELECTION = ("density", "k", "scope")
"""What two sparsifiers must share to select the same number of entries."""


def comparison_table(
    groups: Sequence[Group], title: str, measures: Mapping[str, Measure], digits: int
) -> Table | None:
    """Compare each RegTop-k with the Top-k that differs from it in the algorithm only.

    Args:
        groups: The runs of all algorithms.
        title: Says which sign is good.
        measures: What is compared, by name.
        digits: Behind the point of a difference.

    Returns:
        The table; None where no two have two seeds in common.
    """
    named = labels(group.cell for group in groups)
    rows = []
    for ours, theirs in _pairs(groups):
        label = str(named[ours.cell.group])
        for name, measure in measures.items():
            found = compare(ours, theirs, measure)
            if found:
                which = [Entry(label), Entry(f"{ours.density:g}", ours.density), Entry(name)]
                rows.append(Row([*which, *_entries(found, digits)]))
    if not rows:
        return None
    several = len({row.entries[0].text for row in rows}) > 1
    columns = [
        Column("algorithm", "algorithm", left=True, compact=False, hidden=not several),
        Column("density", "density"),
        Column("of", "of", left=True, compact=False),
        Column("difference", "difference"),
        Column("p\n(t-test)", "p_t"),
        Column("p\n(Wilcoxon)", "p_wilcoxon"),
        Column("seeds", "seeds"),
    ]
    return Table(title, columns, rows)


def _pairs(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Return each RegTop-k with its Top-k: same problem, recipe and number of entries."""
    of = {
        name: [group for group in groups if group.cell.algorithm == name]
        for name in ("regtopk", "topk")
    }
    return [
        (ours, theirs)
        for ours in of["regtopk"]
        for theirs in of["topk"]
        if _setting(ours) == _setting(theirs)
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
