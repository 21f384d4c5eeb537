"""Every pair of algorithms at a density on the same seeds: how different, and how certain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from regtopk_bench.report.numbers import number
from regtopk_bench.report.phrases import written_p
from regtopk_bench.report.table import NAME, WORDS, Column, Entry, Row, Table
from regtopk_bench.results.statistics import Comparison, Statistics


def comparison_table(
    statistics: Statistics,
    title: str,
    metrics: Mapping[str, str],
    scale: float = 1.0,
    notes: Sequence[str] = (),
) -> Table | None:
    """Return a row for each pair at a density that has at least two seeds in common.

    Args:
        statistics: The comparisons.
        title: Behind "First minus second".
        metrics: What is compared, by the name of its rows.
        scale: What a difference is multiplied by for people.
        notes: Below the table.

    Returns:
        The table; None if no pair has two seeds in common.
    """
    found = [
        (name, pair)
        for name, metric in metrics.items()
        for pair in statistics.pairs(metric, "density")
        if math.isfinite(pair.p)
    ]
    if not found:
        return None
    sections = [
        [each for each in found if each[1].first.density == density]
        for density in dict.fromkeys(pair.first.density for _, pair in found)
    ]
    columns = [
        Column("first", "first", left=True, breaks=NAME),
        Column("second", "second", left=True, breaks=NAME),
        Column("density", "density"),
        Column("of", "of", left=True, breaks=WORDS, hidden=len(metrics) == 1),
        Column("difference", "difference"),
        Column("p\n(t-test)", "p", spare=2),
        Column("p\n(Holm)", "p_corrected"),
        Column("p\n(Wilcoxon)", "p_wilcoxon", spare=3),
        Column("seeds", "n", spare=1),
    ]
    rows = [
        Row(_entries(name, pair, scale), section_ends=number == len(section))
        for section in sections
        for number, (name, pair) in enumerate(section, 1)
    ]
    return Table(f"First minus second{title}, paired by seed", columns, rows, notes)


def _entries(name: str, pair: Comparison, scale: float) -> list[Entry]:
    difference = pair.difference
    return [
        Entry(pair.first.label),
        Entry(pair.second.label),
        Entry(f"{pair.first.density:g}", pair.first.density),
        Entry(name),
        Entry(number(difference.times(scale), places=2, sign="+"), difference.mean),
        *(Entry(written_p(p), p) for p in (pair.p, pair.p_corrected)),
        Entry(written_p(pair.p_wilcoxon), pair.p_wilcoxon),
        Entry(str(difference.n), difference.n),
    ]
