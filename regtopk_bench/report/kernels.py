"""What timed kernels say: one row per contender, under the limit of each case."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.report.table import Cell, Column, Row, Table
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.summary import median_interval

_CASE = ("distribution", "dim", "density")
_NOISY = 0.25


def kernels_tables(result: Result) -> list[Table]:
    """Return the tables of a `kernels` result, one for each case."""
    cases = [list(case) for _, case in groupby(result.runs, key=_case)]
    columns = [
        Column("distribution", "distribution", hidden=True),
        Column("J", "dim", hidden=True),
        Column("density", "density", hidden=True),
        Column("what", "operation", left=True),
        Column("by, case\n(misses)", "contender", left=True),
        Column("ms, median\n[quartiles]", "median_seconds", compact=False),
        Column("GB/s", "bytes_per_second"),
        Column("% of\nlimit", "share_of_limit"),
        Column("× torch.topk\n[95 %]", "gain_over_topk", compact=False),
        Column("exact", "exact"),
        Column("misses", "misses", hidden=True),
    ]
    tables = []
    for case in cases:
        rows = [_limit_row(case[0])]
        for _, operation in groupby(case, key=lambda run: run.cell["operation"]):
            runs = list(operation)
            rows += [_row(run, first=run is runs[0], last=run is runs[-1]) for run in runs]
        notes = _notes(result) if case is cases[-1] else []
        tables.append(Table(_title(case[0], result), columns, rows, notes))
    return tables


def noise(runs: Sequence[Run]) -> str | None:
    """Return a warning if the limit itself varies too much for figures to be trusted."""
    spreads = []
    for _, case in groupby(runs, key=_case):
        low, middle, high = np.percentile(next(case).traces["limit_seconds"], [25, 50, 75])
        spreads.append((high - low) / middle)
    if not spreads or max(spreads) < _NOISY:
        return None
    return (
        f"noisy machine: the quartiles of the limit are up to {100 * max(spreads):.0f} % of its "
        "median apart; stop what else runs, raise --repeats, and trust ratios more than times"
    )


def quartiles(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the quartiles of what was measured, leaving out repeats that were not."""
    return np.asarray(np.nanpercentile(np.asarray(values, dtype=np.float64), [25, 50, 75]))


def share_of_limit(run: Run) -> float:
    """Return how near a run comes to the limit, from 0 to 1: a median of paired ratios."""
    seconds, limit = np.array(run.traces["seconds"]), np.array(run.traces["limit_seconds"])
    return float(np.nanmedian(limit / seconds))


def name_of(run: Run) -> str:
    """Return who a run has timed, without the operation."""
    names = (run.cell["implementation"], run.cell["case"])
    return ", ".join(str(name) for name in names if name)


def _case(run: Run) -> tuple[object, ...]:
    return tuple(run.cell[name] for name in _CASE)


def _title(run: Run, result: Result) -> str:
    cell, threads = run.cell, run.cell["threads"]
    where = f"cpu, {threads} threads" if threads else str(result.environment.get("gpu"))
    return (
        f"J={cell['dim']:,}, k/J={cell['density']:g}, {cell['distribution']}, "
        f"{cell['dtype']}, {where}"
    )


def _notes(result: Result) -> list[str]:
    notes = [
        "limit: residual += gradient in place, timed in turn with the others.",
        "GB/s: of the values that have to be moved, 3 per element for a step, 1 to select.",
        "×: how many times faster than torch.topk at the same operation, paired.",
        "misses: steps whose remembered threshold did not hold.",
    ]
    if any(run.metrics.get("exact") == 0 for run in result.runs):
        notes.append("exact: no, where an entry was selected that a stable sort does not.")
    return notes


def _row(run: Run, *, first: bool, last: bool) -> Row:
    low, middle, high = quartiles(run.traces["seconds"])
    moved = run.metrics["moved_bytes"]
    exact = run.metrics.get("exact")
    misses, rounds = run.execution["misses"], run.execution["rounds"]
    is_step, remembers = run.cell["operation"] == "step", bool(run.cell["case"])
    shown = remembers and run.cell["case"] != "missed" and (misses or run.cell["case"] == "warm")
    operation, share = str(run.cell["operation"]), share_of_limit(run)
    cells = [
        *_where(run),
        Cell(operation if first else "", operation),
        Cell(name_of(run) + (f" ({misses:g}/{rounds:g})" if shown else ""), name_of(run)),
        Cell(_with_range(1e3 * low, 1e3 * middle, 1e3 * high), middle),
        Cell(f"{moved / middle / 1e9:.2g}", moved / middle) if moved else Cell("", ""),
        Cell(f"{100 * share:.0f}", share) if is_step else Cell("", ""),
        _gain(run),
        Cell("" if exact is None else "yes" if exact else "no"),
        Cell("", misses / rounds if remembers else ""),
    ]
    return Row(cells, section_ends=last)


def _limit_row(run: Run) -> Row:
    low, middle, high = quartiles(run.traces["limit_seconds"])
    moved = run.metrics["limit_bytes"]
    cells = [
        *_where(run),
        Cell("limit"),
        Cell(""),
        Cell(_with_range(1e3 * low, 1e3 * middle, 1e3 * high), middle),
        Cell(f"{moved / middle / 1e9:.2g}", moved / middle),
        Cell("100", 1.0),
        *(Cell("", "") for _ in range(3)),
    ]
    return Row(cells, section_ends=True)


def _where(run: Run) -> list[Cell]:
    """Return the cells that only CSV has."""
    return [Cell(str(run.cell[name])) for name in _CASE]


def _gain(run: Run) -> Cell:
    """Return how many times as long torch.topk takes in the same repeat."""
    if "topk_seconds" not in run.traces or run.cell["implementation"] == "torch.topk":
        return Cell("", "")
    ratios = np.array(run.traces["topk_seconds"]) / np.array(run.traces["seconds"])
    ratios = ratios[np.isfinite(ratios)]
    if not len(ratios):
        return Cell("", "")
    low, high = median_interval(ratios)
    middle = float(np.median(ratios))
    return Cell(_with_range(low, middle, high), middle)


def _with_range(low: float, middle: float, high: float) -> str:
    return f"{_short(middle, 3 if middle >= 1.0 else 2)} [{_short(low, 2)}, {_short(high, 2)}]"


def _short(value: float, digits: int) -> str:
    """Return so many significant digits, and all those before the point."""
    return f"{value:.{digits}g}" if value < 10.0**digits else f"{value:.0f}"
