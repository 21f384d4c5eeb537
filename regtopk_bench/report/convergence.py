"""What a convergence experiment says: one row per algorithm and density."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from regtopk_bench.report.comparison import comparison_table
from regtopk_bench.report.sparkline import sparkline
from regtopk_bench.report.table import Cell, Column, Row, Table
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.summary import (
    Estimate,
    Group,
    estimate,
    first_round,
    groups,
    log10,
    mean_if_all,
)
from regtopk_bench.sparsify import ALGORITHMS

_CURVE_WIDTH = 10
_CURVE_FLOOR = -30.0


def convergence_tables(result: Result, unicode: bool = True) -> list[Table]:
    """Return the tables of a `linreg` result: convergence, and the comparison by seed."""
    tables = [_convergence(result, unicode)]
    comparison = comparison_table(
        groups(result.runs),
        "RegTop-k minus Top-k, paired by seed (negative: RegTop-k is closer)",
        {"log10 gap": _log10_gap},
        digits=3,
    )
    return tables + ([comparison] if comparison else [])


def by_density(result: Result) -> list[list[Group]]:
    """Return the groups of each density, the dense runs first and by themselves."""
    sections: dict[object, list[Group]] = {}
    for group in groups(result.runs):
        sections.setdefault(group.cell.get("density"), []).append(group)
    return list(sections.values())


def _convergence(result: Result, unicode: bool) -> Table:
    target = float(result.settings["target"].value)
    seeds = {run.cell["seed"] for run in result.runs}
    sections = by_density(result)
    everything = [group for section in sections for group in section]
    curves = {id(group): group.mean_log10_trace("gap") for group in everything}
    finite = [c[np.isfinite(c)].clip(_CURVE_FLOOR) for c in curves.values() if len(c)]
    low = min((float(c.min()) for c in finite if len(c)), default=0.0)
    high = max((float(c[0]) for c in finite if len(c)), default=0.0)

    rows = []
    for section in sections:
        best = _best(section)
        for group in section:
            cells = _cells(group, target)
            curve = curves[id(group)].clip(low)
            cells.append(Cell(sparkline(curve, low, high, _CURVE_WIDTH, unicode)))
            rows.append(Row(cells, group is best, section_ends=group is section[-1]))
    columns = [
        Column("algorithm", "algorithm", left=True),
        Column("density", "density"),
        Column("log10\ngap", "log10_gap"),
        Column(f"rounds\nto {target:g}", "rounds_to_target"),
        Column("kB/\nround", "uplink_bytes_per_worker_round"),
        Column(f"kB to\n{target:g}", "uplink_bytes_per_worker_to_target"),
        Column("rounds/\ns", "rounds_per_second"),
        Column("log10 gap\nby round", "curve", left=True, drawing=True),
    ]
    notes = _notes(everything, len(seeds), any(row.marked for row in rows))
    return Table(_title(result, len(seeds)), columns, rows, notes)


def _cells(group: Group, target: float) -> list[Cell]:
    gap = estimate(log10(group.values("gap")))
    reached = [first_round(np.array(run.traces.get("gap", [])) <= target) for run in group.runs]
    rounds = mean_if_all(reached)
    workers = float(group.values("workers")[0])
    per_round = group.values("uplink_bytes") / np.maximum(group.values("rounds"), 1) / workers
    to_target = mean_if_all(
        [uplink_to(run, count) for run, count in zip(group.runs, reached, strict=True)]
    )
    speed = group.mean_execution("rounds_per_second")
    return [
        Cell(str(group.cell["algorithm"])),
        Cell(f"{group.cell['density']:g}", group.cell["density"]),
        Cell(outcome(group, gap), gap.mean),
        Cell("–" if rounds is None else f"{rounds:.0f}", rounds if rounds is not None else ""),
        Cell(f"{per_round.mean() / 1e3:.3g}", float(per_round.mean())),
        Cell("–" if to_target is None else f"{to_target / 1e3:.4g}", to_target or ""),
        Cell(f"{speed:.0f}", speed),
    ]


def _log10_gap(run: Run) -> float:
    return float(log10(np.array(run.metrics.get("gap", math.nan))))


def outcome(group: Group, value: Estimate, digits: int = 2) -> str:
    """Return a mean with its interval, or where runs failed."""
    if group.failures:
        failed = len(group.failures)
        rounds = min(int(run.metrics["rounds"]) for run in group.failures)
        share = "" if failed == len(group.runs) else f"{failed}/{len(group.runs)} "
        return f"{share}failed @{rounds + 1}"
    if not math.isfinite(value.mean):
        return "–"
    spread = "" if value.half_width is None else f"±{value.half_width:.{digits}f}"
    return f"{value.mean:.{digits}f}{spread}"


def stopped(runs: Sequence[Run]) -> list[str]:
    """Return a note on runs that were interrupted, if there are any."""
    count = sum(run.status == "stopped" for run in runs)
    if not count:
        return []
    return [f"{count} run{'s' if count > 1 else ''} stopped early: the last round was not reached"]


def uplink_to(run: Run, rounds: int | None) -> float | None:
    """Return the bytes that one worker has sent after so many rounds."""
    if rounds is None:
        return None
    return sum(run.traces["uplink_bytes"][:rounds]) / run.metrics["workers"]


def _best(section: Sequence[Group]) -> Group | None:
    """Return the sparsified group with the smallest gap that a real system could run."""
    candidates = [
        group
        for group in section
        if (known := ALGORITHMS.get(str(group.cell["algorithm"])))
        and known.achievable
        and known.sparse
        and not group.failures
        and np.isfinite(group.values("gap")).all()
    ]
    if len(candidates) < 2:
        return None
    return min(candidates, key=lambda group: estimate(log10(group.values("gap"))).mean)


def _title(result: Result, seeds: int) -> str:
    def value(name: str) -> object:
        return result.settings[name].value

    return (
        f"Linear regression: N={value('workers')} workers, D={value('samples')} samples, "
        f"J={value('dim')}, η={value('learning_rate'):g}, μ={value('mu'):g}, "
        f"{value('rounds')} rounds, {seeds} seed{'s' if seeds != 1 else ''}, {value('dtype')}"
    )


def _notes(everything: Sequence[Group], seeds: int, marked: bool) -> list[str]:
    notes = []
    if marked:
        notes.append("* smallest gap at its density among sparsifiers that can be built")
    if seeds > 1:
        notes.append(f"± 95 % confidence interval of the mean over {seeds} seeds")
    runs = [run for group in everything for run in group.runs]
    notes += stopped(runs)
    if any(run.metrics.get("coordination_bytes") for run in runs):
        costs = max(
            of["coordination_bytes"] / max(of["rounds"], 1) / of["workers"]
            for of in (run.metrics for run in runs)
        )
        notes.append(
            f"oracle: an upper bound that sees all gradients; the {costs / 1e3:.3g} kB per worker "
            "and round for that are not in kB"
        )
    if runs:
        widths = runs[0].metrics
        processes = sorted({int(run.execution["processes"]) for run in runs})
        notes.append(
            f"kB sent per worker, {widths['index_bytes']:g}-byte indices and "
            f"{widths['value_bytes']:g}-byte values; workers in "
            f"{', '.join(map(str, processes))} process{'es' if processes != [1] else ''}"
        )
    return notes
