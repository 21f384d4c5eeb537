"""What an experiment with images says: accuracies, what they cost, where the time went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.report.comparison import comparison_table
from regtopk_bench.report.convergence import by_density, outcome, stopped, uplink_to
from regtopk_bench.report.table import Cell, Column, Row, Table
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.summary import Group, estimate, first_round, groups, mean_if_all

_PHASES = ("gradient", "sparsify", "exchange", "update")


def image_tables(result: Result) -> list[Table]:
    """Return the tables of a `cifar` result: accuracies, and the comparison by seed."""
    comparison = comparison_table(
        groups(result.runs),
        f"{source(result)}: RegTop-k minus Top-k in points of accuracy, paired by seed "
        "(positive: RegTop-k is better)",
        {"best": lambda run: 100.0 * best(run), "final": lambda run: 100.0 * final(run)},
        digits=2,
    )
    return [_accuracies(result), *([comparison] if comparison else [])]


def source(result: Result) -> str:
    """Return which images they were, and plainly so if they were made up."""
    data, dataset = (result.settings[name].value for name in ("data", "dataset"))
    if data is None and dataset == "synthetic":
        return "SYNTHETIC images"
    return Path(str(data or "CIFAR-10")).name


def accuracy(run: Run) -> NDArray[np.float64]:
    """Return the accuracy after each round; NaN where it was not evaluated."""
    return np.array(run.traces.get("accuracy", []), dtype=np.float64)


def best(run: Run) -> float:
    """Return the largest accuracy of all evaluations."""
    evaluated = accuracy(run)
    evaluated = evaluated[np.isfinite(evaluated)]
    return float(evaluated.max()) if len(evaluated) else math.nan


def final(run: Run) -> float:
    """Return the accuracy after the last round."""
    return float(run.metrics.get("accuracy", math.nan))


def _accuracies(result: Result) -> Table:
    target = float(result.settings["target"].value)
    sections = by_density(result)
    rows = [
        Row([*_cells(group, target), Cell(source(result))], section_ends=group is section[-1])
        for section in sections
        for group in section
    ]
    columns = [
        Column("algorithm", "algorithm", left=True),
        Column("density", "density"),
        Column("best\naccuracy, %", "best_accuracy"),
        Column("final\naccuracy, %", "final_accuracy"),
        Column(f"rounds\nto {100 * target:g} %", "rounds_to_target"),
        Column(f"MB to\n{100 * target:g} %", "uplink_bytes_per_worker_to_target"),
        Column("images/\ns", "images_per_second"),
        Column("time, %\ng/s/x/u", "shares", drawing=True),
        *(Column(phase, f"{phase}_share", hidden=True) for phase in _PHASES),
        Column("images", "images", hidden=True),
    ]
    everything = [group for section in sections for group in section]
    return Table(_title(result), columns, rows, _notes(everything))


def _cells(group: Group, target: float) -> list[Cell]:
    bests = estimate(np.array([best(run) for run in group.runs]))
    finals = estimate(np.array([final(run) for run in group.runs]))
    reached = [first_round(accuracy(run) >= target) for run in group.runs]
    rounds = mean_if_all(reached)
    sent = mean_if_all(
        [uplink_to(run, count) for run, count in zip(group.runs, reached, strict=True)]
    )
    speed = group.mean_execution("rounds_per_second") * images_per_round(group)
    spent = [group.mean_execution(f"{phase}_seconds") for phase in _PHASES]
    shares = [each / sum(spent) if sum(spent) else math.nan for each in spent]
    shown = "/".join("–" if math.isnan(share) else f"{100 * share:.0f}" for share in shares)
    return [
        Cell(str(group.cell["algorithm"])),
        Cell(f"{group.cell['density']:g}", group.cell["density"]),
        Cell(outcome(group, bests.times(100.0)), bests.mean),
        Cell(outcome(group, finals.times(100.0)), finals.mean),
        Cell("–" if rounds is None else f"{rounds:.0f}", rounds if rounds is not None else ""),
        Cell("–" if sent is None else f"{sent / 1e6:.3g}", sent if sent is not None else ""),
        Cell(f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}", speed),
        Cell(shown),
        *(Cell("", share) for share in shares),
    ]


def images_per_round(group: Group) -> int:
    """Return how many images all workers together train on in a round."""
    return math.prod(int(group.cell[name] or 0) for name in ("workers", "batch", "local_steps"))


def _title(result: Result) -> str:
    def value(name: str) -> object:
        return result.settings[name].value

    seeds = len({run.cell["seed"] for run in result.runs})
    dims = {run.cell["dim"] for run in result.runs}
    dim = f" ({', '.join(f'J={dim:,}' for dim in dims)})" if dims else ""
    schedule = "" if value("schedule") == "constant" else f" ({value('schedule')})"
    return (
        f"{source(result)}: {value('model')}{dim}, N={value('workers')} workers, "
        f"{value('partition')}, batch {value('batch')}, η={value('learning_rate'):g}{schedule}, "
        f"μ={value('mu'):g}, {value('rounds')} rounds, {seeds} seed{'s' if seeds != 1 else ''}"
    )


def _notes(everything: Sequence[Group]) -> list[str]:
    runs = [run for group in everything for run in group.runs]
    if not runs:
        return []
    seeds = len({run.cell["seed"] for run in runs})
    notes = [f"± 95 % confidence interval of the mean over {seeds} seeds"] if seeds > 1 else []
    notes += stopped(runs)
    skews = [run.metrics["skew"] for run in runs if "skew" in run.metrics]
    if skews:
        notes.append(
            f"workers' labels differ from all labels by {np.mean(skews):.2f} "
            "(mean total variation distance: 0 alike, towards 1 disjoint)"
        )
    widths, cell = runs[0].metrics, runs[0].cell
    processes = sorted({int(run.execution["processes"]) for run in runs})
    notes.append(
        f"MB sent per worker, {widths['index_bytes']:g}-byte indices and "
        f"{widths['value_bytes']:g}-byte values; selection scope: {cell['scope']}"
    )
    notes.append(
        "time: gradient/sparsify/exchange/update, evaluation not counted; "
        f"{cell['device']}, {', '.join(map(str, processes))} "
        f"process{'es' if processes != [1] else ''}"
    )
    return notes
