"""The tables of a convergence experiment: one row per algorithm and density."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.report import notes
from regtopk_bench.report.answer import GAP, answers
from regtopk_bench.report.compactness import NOTE, bits_columns, bits_entries, is_compact
from regtopk_bench.report.comparison import comparison_table
from regtopk_bench.report.cost import Target
from regtopk_bench.report.rows import (
    COUNTS,
    by_density,
    cost_columns,
    cost_entries,
    count_entries,
    mean_columns,
    mean_entries,
    naming,
    outcome,
    unit_to_target,
    whole,
)
from regtopk_bench.report.sparkline import sparkline
from regtopk_bench.report.table import NAME, Column, Entry, Row, Table
from regtopk_bench.report.title import described, seeds_of
from regtopk_bench.results.labels import Label, labels
from regtopk_bench.results.measures import LOG10_GAP, network_of, target_of
from regtopk_bench.results.schema import Result
from regtopk_bench.results.standing import winners
from regtopk_bench.results.statistics import Statistics, Summary, statistics_of
from regtopk_bench.results.summary import Group, estimate

_CURVE_WIDTH = 10
_CURVE_FLOOR = -30.0
_EXACT = "a gap of exactly 0 is taken for 2.2e-308, the smallest number with a logarithm"


def convergence_tables(result: Result, unicode: bool = True) -> list[Table]:
    """Return the tables of a `linreg` result: convergence, and the comparison by seed.

    The last ends with the answer.
    """
    statistics = statistics_of(result)
    wanted = target_of(result)
    reached = "" if math.isnan(wanted) else f"{wanted:g}"
    target = Target(reached, *unit_to_target(statistics, 1e3))
    told = answers(statistics, GAP, target)
    compared = comparison_table(
        statistics,
        " (log10 gap; negative: the first is closer)",
        {GAP.name: LOG10_GAP},
        notes=told,
    )
    below = [] if compared else told
    first = _convergence(result, statistics, target, below, unicode)
    return [first, *([compared] if compared else [])]


def _convergence(
    result: Result, statistics: Statistics, target: Target, below: Sequence[str], unicode: bool
) -> Table:
    sections = by_density(result)
    everything = [group for section in sections for group in section]
    named = labels(group.cell for group in everything)
    curves = {group.cell.group: group.mean_log10_trace("gap") for group in everything}
    low, high = _range(list(curves.values()))
    compact = is_compact(everything)
    best = winners(statistics, LOG10_GAP)

    rows = []
    for section in sections:
        for group in section:
            key = group.cell.group
            entries = _entries(group, statistics.of(group), named[key], target.in_bytes, compact)
            curve = sparkline(curves[key].clip(low), low, high, _CURVE_WIDTH, unicode)
            ends = group is section[-1]
            rows.append(Row([*entries, Entry(curve)], key in best, section_ends=ends))
    columns = [
        Column("algorithm", "algorithm", left=True, breaks=NAME),
        Column("density", "density"),
        *mean_columns("log10\ngap", LOG10_GAP),
        *cost_columns(target.unit, target.text or "target", network_of(result) is not None),
        *(bits_columns() if compact else []),
        *mean_columns("rounds/\ns", "rounds_per_second", spare=4),
        *COUNTS,
        Column("log10 gap\nby round", "curve", left=True, drawing=True),
    ]
    return Table(_title(result), columns, rows, [*_notes(result, everything, bool(best)), *below])


def _entries(
    group: Group, summary: Summary, label: Label, in_bytes: float, compact: bool
) -> list[Entry]:
    speed = estimate(group.execution("rounds_per_second"))
    return [
        *naming(group, label),
        *outcome(group, summary.metrics[LOG10_GAP]),
        *cost_entries(summary, in_bytes),
        *(bits_entries(group) if compact else []),
        *mean_entries(whole(speed), speed),
        *count_entries(summary),
    ]


def _range(curves: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the lowest point of all curves, and the highest of their first points."""
    finite = [curve[np.isfinite(curve)].clip(_CURVE_FLOOR) for curve in curves]
    finite = [curve for curve in finite if len(curve)]
    low = min((float(curve.min()) for curve in finite), default=0.0)
    return low, max((float(curve[0]) for curve in finite), default=0.0)


def _title(result: Result) -> str:
    forms = {
        "workers": "N={} workers",
        "samples": "D={} samples",
        "dim": "J={}",
        "learning_rate": "η={:g}",
        "rounds": "{} rounds",
    }
    parts = [*described(result, forms), seeds_of(result), *described(result, {"dtype": "{}"})]
    return f"Linear regression: {', '.join(parts)}"


def _notes(result: Result, everything: Sequence[Group], marked: bool) -> list[str]:
    if not everything:
        return []
    runs = [run for group in everything for run in group.counted.values()]
    return [
        *([notes.MARK] if marked else []),
        *notes.on_runs(everything),
        *([_EXACT] if any(run.metrics.get("gap") == 0.0 for run in runs) else []),
        *notes.on_coordination(everything),
        *notes.on_parameters(everything),
        *([NOTE] if is_compact(everything) else []),
        f"bytes sent (up) and received (down) per worker{notes.encodings(everything)}; "
        f"workers in {notes.processes(everything)}",
        *notes.on_projection(network_of(result), everything),
    ]
