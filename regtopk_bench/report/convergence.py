"""The tables of a convergence experiment: one row per algorithm and density."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.algorithms import algorithm
from regtopk_bench.report import notes
from regtopk_bench.report.comparison import comparison_table
from regtopk_bench.report.rows import by_density, cost_of_target, naming, outcome
from regtopk_bench.report.sparkline import sparkline
from regtopk_bench.report.table import NAME, Column, Entry, Row, Table
from regtopk_bench.report.title import described, seeds_of, target_of
from regtopk_bench.results.labels import Label, labels
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.summary import Group, estimate, first_round, groups, log10, sent_bytes

_CURVE_WIDTH = 10
_CURVE_FLOOR = -30.0


def convergence_tables(result: Result, unicode: bool = True) -> list[Table]:
    """Return the tables of a `linreg` result: convergence, and the comparison by seed."""
    comparison = comparison_table(
        groups(result.runs),
        "",
        "negative: the first is closer",
        {"log10 gap": _log10_gap},
        digits=3,
    )
    return [_convergence(result, unicode), *([comparison] if comparison else [])]


def _convergence(result: Result, unicode: bool) -> Table:
    target = target_of(result)
    sections = by_density(result)
    everything = [group for section in sections for group in section]
    named = labels(group.cell for group in everything)
    curves = {group.cell.group: group.mean_log10_trace("gap") for group in everything}
    low, high = _range(list(curves.values()))

    rows = []
    for section in sections:
        best = _best(section)
        for group in section:
            curve = curves[group.cell.group].clip(low)
            entries = _entries(group, named[group.cell.group], target)
            entries.append(Entry(sparkline(curve, low, high, _CURVE_WIDTH, unicode)))
            rows.append(Row(entries, group is best, section_ends=group is section[-1]))
    reached = "target" if math.isnan(target) else f"{target:g}"
    columns = [
        Column("algorithm", "algorithm", left=True, breaks=NAME),
        Column("density", "density"),
        Column("log10\ngap", "log10_gap"),
        Column(f"rounds\nto {reached}", "rounds_to_target", spare=1),
        Column("kB/\nround", "sent_bytes_per_worker_round", spare=3),
        Column(f"kB to\n{reached}", "sent_bytes_per_worker_to_target", spare=2),
        Column("rounds/\ns", "rounds_per_second", spare=4),
        Column("log10 gap\nby round", "curve", left=True, drawing=True),
    ]
    return Table(_title(result), columns, rows, _notes(everything, any(r.marked for r in rows)))


def _entries(group: Group, label: Label, target: float) -> list[Entry]:
    gap = estimate(log10(group.values("gap")))
    reached = [first_round(np.array(run.traces["gap"]) <= target) for run in group.runs]
    sent = [sent_bytes(run) for run in group.runs]
    per_round = float(np.mean([each.mean() if len(each) else 0.0 for each in sent]))
    speed = group.mean_execution("rounds_per_second")
    rounds, to_target = cost_of_target(group, reached, unit=1e3, digits=4)
    return [
        *naming(group, label),
        outcome(group, gap),
        rounds,
        Entry(f"{per_round / 1e3:.3g}", per_round),
        to_target,
        Entry(f"{speed:.0f}", speed),
    ]


def _range(curves: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the lowest point of all curves, and the highest of their first points."""
    finite = [curve[np.isfinite(curve)].clip(_CURVE_FLOOR) for curve in curves]
    finite = [curve for curve in finite if len(curve)]
    low = min((float(curve.min()) for curve in finite), default=0.0)
    return low, max((float(curve[0]) for curve in finite), default=0.0)


def _log10_gap(run: Run) -> float:
    return float(log10(np.array(run.metrics.get("gap", math.nan))))


def _best(section: Sequence[Group]) -> Group | None:
    """Return the sparsified group with the smallest gap that a real system could run."""
    candidates = [
        group
        for group in section
        if group.density < 1.0
        and algorithm(group.cell.algorithm).achievable
        and not group.failures
        and np.isfinite(group.values("gap")).all()
    ]
    if len(candidates) < 2:
        return None
    return min(candidates, key=lambda group: estimate(log10(group.values("gap"))).mean)


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


def _notes(everything: Sequence[Group], marked: bool) -> list[str]:
    if not everything:
        return []
    mark = "* smallest gap at its density among sparsifiers that can be built"
    return [
        *([mark] if marked else []),
        *notes.on_runs(everything),
        *notes.on_coordination(everything),
        *notes.on_parameters(everything),
        f"kB sent per worker{notes.encodings(everything)}; "
        f"workers in {notes.processes(everything)}",
    ]
