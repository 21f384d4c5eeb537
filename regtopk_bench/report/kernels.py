"""Timed kernels as tables: one per problem, with a row per candidate below the memory limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.report.table import WORDS, Column, Entry, Row, Table
from regtopk_bench.results.schema import KernelCell, Result, Run
from regtopk_bench.results.summary import LEAST_FOR_INTERVAL, median_interval
from regtopk_bench.results.values import Scalar

MEMORY_LIMIT = "memory limit"

_PROBLEM = ("distribution", "dim", "density")
_NOISY = 0.25
_RANGES = (
    *("first_quartile_seconds", "third_quartile_seconds"),
    *("gain_over_topk_low", "gain_over_topk_high"),
)


def kernels_tables(result: Result) -> list[Table]:
    """Return the tables of a `kernels` result, one for each problem."""
    problems = list(_by_problem(result.runs))
    known = any(_interval(run) for run in result.runs)
    gain = "× torch.topk\n[95 %]" if known else "× torch.topk"
    columns = [
        Column("distribution", "distribution", hidden=True),
        Column("J", "dim", hidden=True),
        Column("density", "density", hidden=True),
        Column("what", "operation", left=True),
        Column("by, case\n(misses)", "candidate", left=True, breaks=" ._"),
        Column("ms, median\n[quartiles]", "median_seconds", breaks=WORDS),
        Column("GB/s", "bytes_per_second", spare=3),
        Column("% of\nmemory\nlimit", "share_of_memory_limit", spare=1),
        Column(gain, "gain_over_topk", breaks=WORDS, spare=2),
        Column("exact", "exact"),
        Column("misses", "misses", hidden=True),
        *(Column("", name, hidden=True) for name in _RANGES),
    ]
    tables = []
    for timed in problems:
        rows = [_memory_limit_row(timed[0])]
        for _, operation in groupby(timed, key=lambda run: cell_of(run).candidate["operation"]):
            runs = list(operation)
            rows += [_row(run, first=run is runs[0], last=run is runs[-1]) for run in runs]
        notes = _notes(result) if timed is problems[-1] else []
        tables.append(Table(_title(timed[0]), columns, rows, notes))
    return tables


def noise(runs: Sequence[Run]) -> str | None:
    """Return a warning if the memory limit itself varies too much for figures to be trusted."""
    spreads = []
    for timed in _by_problem(runs):
        low, middle, high = quartiles(timed[0].traces["memory_limit_seconds"])
        spreads.append((high - low) / middle)
    if not spreads or max(spreads) < _NOISY:
        return None
    return (
        f"noisy machine: the quartiles of the memory limit are up to {100 * max(spreads):.0f} % of "
        "its median apart; stop other programs, raise --repeats, and trust ratios more than times"
    )


def cell_of(run: Run) -> KernelCell:
    """Return what a run of the `kernels` command timed."""
    assert isinstance(run.cell, KernelCell)
    return run.cell


def name_of(run: Run) -> str:
    """Return the name of a run's candidate, without the operation."""
    candidate = cell_of(run).candidate
    return ", ".join(str(name) for name in (candidate["implementation"], candidate["case"]) if name)


def quartiles(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the quartiles of measured values, ignoring skipped repeats."""
    return np.asarray(np.nanpercentile(np.asarray(values, dtype=np.float64), [25, 50, 75]))


def share_of_memory_limit(run: Run) -> float:
    """Return how close a run comes to the memory limit, from 0 to 1: a median of paired ratios."""
    limit, seconds = run.traces["memory_limit_seconds"], run.traces["seconds"]
    return float(np.nanmedian(np.array(limit) / np.array(seconds)))


def _by_problem(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Yield the runs of each problem."""
    for _, timed in groupby(runs, key=_problem):
        yield list(timed)


def _problem(run: Run) -> list[Scalar]:
    return [cell_of(run).problem[name] for name in _PROBLEM]


def _title(run: Run) -> str:
    problem = cell_of(run).problem
    if problem["threads"]:
        where = f"cpu, {problem['threads']} threads"
    else:
        where = str(run.environments[-1].get("gpu")) if run.environments else "gpu"
    return (
        f"J={problem['dim']:,}, k/J={problem['density']:g}, {problem['distribution']}, "
        f"{problem['dtype']}, {where}"
    )


def _notes(result: Result) -> list[str]:
    gains = [_gains(run) for run in result.runs]
    few = any(0 < len(each) < LEAST_FOR_INTERVAL for each in gains)
    without = f"; fewer than {LEAST_FOR_INTERVAL} repeats have no 95 % interval" if few else ""
    notes = [
        f"{MEMORY_LIMIT}: residual += gradient in place, timed in turn with the others.",
        "GB/s: of the values that have to be moved, 3 per element for a step, 1 to select.",
        f"×: how many times faster than torch.topk at the same operation, paired{without}.",
        "misses: steps whose remembered threshold did not hold.",
    ]
    if any(run.metrics.get("exact") == 0 for run in result.runs):
        notes.append("exact: no, where an entry was selected that a stable sort does not select.")
    return notes


def _row(run: Run, *, first: bool, last: bool) -> Row:
    candidate, moved = cell_of(run).candidate, run.metrics["moved_bytes"]
    operation, case = str(candidate["operation"]), candidate["case"]
    median = quartiles(run.traces["seconds"])[1]
    share, exact = share_of_memory_limit(run), run.metrics.get("exact")
    misses, rounds = run.execution["misses"], run.execution["rounds"]
    counted = case == "warm" or (misses and case not in ("", "missed"))
    entries = [
        *_hidden(run),
        Entry(operation if first else "", operation),
        Entry(name_of(run) + (f" ({misses:g}/{rounds:g})" if counted else ""), name_of(run)),
        _milliseconds(run.traces["seconds"]),
        _speed(moved / median) if moved else Entry("", ""),
        Entry(f"{100 * share:.0f}", share) if operation == "step" else Entry("", ""),
        _gain(run),
        Entry("" if exact is None else "yes" if exact else "no"),
        Entry("", misses / rounds if case else ""),
        *_quartiles(run.traces["seconds"]),
        *(Entry("", each) for each in _interval(run) or ("", "")),
    ]
    return Row(entries, section_ends=last)


def _memory_limit_row(run: Run) -> Row:
    seconds = run.traces["memory_limit_seconds"]
    speed = run.metrics["memory_limit_bytes"] / quartiles(seconds)[1]
    entries = [
        *_hidden(run),
        Entry("add"),
        Entry(MEMORY_LIMIT),
        _milliseconds(seconds),
        _speed(speed),
        Entry("100", 1.0),
        *(Entry("", "") for _ in range(3)),
        *_quartiles(seconds),
        *(Entry("", "") for _ in range(2)),
    ]
    return Row(entries, section_ends=True)


def _hidden(run: Run) -> list[Entry]:
    """Return the entries that only CSV has."""
    return [Entry(str(value)) for value in _problem(run)]


def _speed(speed: float) -> Entry:
    """Return GB/s of bytes per second."""
    return Entry(f"{speed / 1e9:.2g}" if speed < 99.5e9 else f"{speed / 1e9:.0f}", speed)


def _milliseconds(seconds: Sequence[float]) -> Entry:
    """Return the median with the quartiles."""
    low, median, high = quartiles(seconds)
    return Entry(_with_range(1e3 * low, 1e3 * median, 1e3 * high), median)


def _quartiles(seconds: Sequence[float]) -> Iterator[Entry]:
    """Yield the first and the third quartile, which only CSV has by themselves."""
    low, _, high = quartiles(seconds)
    yield from (Entry("", float(low)), Entry("", float(high)))


def _gain(run: Run) -> Entry:
    """Return how many times as long torch.topk takes in the same repeat."""
    gains, interval = _gains(run), _interval(run)
    if not len(gains):
        return Entry("", "")
    median = float(np.median(gains))
    if interval is None:
        return Entry(f"{median:.{_places(median)}f}", median)
    low, high = interval
    return Entry(_with_range(low, median, high), median)


def _gains(run: Run) -> NDArray[np.float64]:
    """Return how many times as long torch.topk takes, in each repeat that has both."""
    if "topk_seconds" not in run.traces or cell_of(run).candidate["implementation"] == "torch.topk":
        return np.empty(0)
    ratios = np.array(run.traces["topk_seconds"]) / np.array(run.traces["seconds"])
    return np.asarray(ratios[np.isfinite(ratios)])


def _interval(run: Run) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the median of these, if there are enough of them."""
    return median_interval(_gains(run))


def _with_range(low: float, middle: float, high: float) -> str:
    """Return a value with its range, to the same decimal place: rounded, it stays within."""
    places = _places(middle)
    return f"{middle:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def _places(value: float) -> int:
    """Return to how many decimal places a value has three significant digits; two below 1."""
    digits = 3 if value >= 1.0 else 2
    finite = math.isfinite(value) and value > 0.0
    return max(0, digits - 1 - math.floor(math.log10(value))) if finite else 0
