"""The tables of an image experiment: accuracies, what they cost, and where the time went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.report import notes
from regtopk_bench.report.comparison import comparison_table
from regtopk_bench.report.rows import by_density, cost_of_target, naming, outcome
from regtopk_bench.report.table import NAME, Column, Entry, Row, Table
from regtopk_bench.report.title import described, seeds_of, setting, target_of
from regtopk_bench.results.labels import Label, labels
from regtopk_bench.results.schema import Result, Run
from regtopk_bench.results.summary import Group, estimate, first_round, groups
from regtopk_bench.trace import PHASES


def image_tables(result: Result) -> list[Table]:
    """Return the tables of a `cifar` result: accuracies, and the comparison by seed."""
    comparison = comparison_table(
        groups(result.runs),
        f" in points of accuracy on {source(result)}",
        "positive: the first is better",
        {"best": lambda run: 100.0 * best(run), "final": lambda run: 100.0 * final(run)},
        digits=2,
    )
    return [_accuracies(result), *([comparison] if comparison else [])]


def source(result: Result) -> str:
    """Return the name of the images, with synthetic ones in capitals."""
    if any(run.cell.problem.get("dataset") == "synthetic" for run in result.runs):
        return "SYNTHETIC images"
    return Path(str(setting(result, "data") or "CIFAR-10")).name


def accuracy(run: Run) -> NDArray[np.float64]:
    """Return the accuracy after each round; NaN where it was not evaluated."""
    return np.array(run.traces["accuracy"], dtype=np.float64)


def best(run: Run) -> float:
    """Return the largest accuracy of all evaluations."""
    evaluated = accuracy(run)
    evaluated = evaluated[np.isfinite(evaluated)]
    return float(evaluated.max()) if len(evaluated) else math.nan


def final(run: Run) -> float:
    """Return the accuracy after the last round."""
    return float(run.metrics.get("accuracy", math.nan))


def _accuracies(result: Result) -> Table:
    target = target_of(result)
    sections = by_density(result)
    everything = [group for section in sections for group in section]
    named = labels(group.cell for group in everything)
    images = Entry(source(result))
    rows = [
        Row(
            [*_entries(group, named[group.cell.group], target), images],
            section_ends=group is section[-1],
        )
        for section in sections
        for group in section
    ]
    reached = "target" if math.isnan(target) else f"{100 * target:g} %"
    columns = [
        Column("algorithm", "algorithm", left=True, breaks=NAME),
        Column("density", "density"),
        Column("best\naccuracy, %", "best_accuracy", spare=1),
        Column("final\naccuracy, %", "final_accuracy"),
        Column(f"rounds\nto {reached}", "rounds_to_target", spare=2),
        Column(f"MB to\n{reached}", "sent_bytes_per_worker_to_target", spare=3),
        Column("images/\ns", "images_per_second", spare=4),
        Column("time, %\ng/s/x/u", "shares", drawing=True),
        *(Column(phase, f"{phase}_share", hidden=True) for phase in PHASES),
        Column("images", "images", hidden=True),
    ]
    return Table(_title(result), columns, rows, _notes(everything))


def _entries(group: Group, label: Label, target: float) -> list[Entry]:
    bests = estimate(np.array([best(run) for run in group.runs]))
    finals = estimate(np.array([final(run) for run in group.runs]))
    reached = [first_round(accuracy(run) >= target) for run in group.runs]
    speed = group.mean_execution("rounds_per_second") * images_per_round(group)
    spent = [group.mean_execution(f"{phase}_seconds") for phase in PHASES]
    shares = [each / sum(spent) if sum(spent) else math.nan for each in spent]
    shown = "/".join("–" if math.isnan(share) else f"{100 * share:.0f}" for share in shares)
    return [
        *naming(group, label),
        Entry(outcome(group, bests.times(100.0)).text, bests.mean),
        Entry(outcome(group, finals.times(100.0)).text, finals.mean),
        *cost_of_target(group, reached, unit=1e6, digits=3),
        Entry(f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}", speed),
        Entry(shown),
        *(Entry("", share) for share in shares),
    ]


def images_per_round(group: Group) -> int:
    """Return how many images all workers together train on in a round."""
    facts = {**group.cell.problem, **group.cell.recipe}
    return math.prod(int(facts.get(name) or 0) for name in ("workers", "batch", "local_steps"))


def _title(result: Result) -> str:
    dims = dict.fromkeys(
        int(run.metrics["parameters"]) for run in result.runs if "parameters" in run.metrics
    )
    model = [*described(result, {"model": "{}"}), *(f"(J={dim:,})" for dim in dims)]
    schedule = setting(result, "schedule")
    rate = "η={:g}" if schedule in (None, "constant") else f"η={{:g}} ({schedule})"
    forms = {
        "workers": "N={} workers",
        "partition": "{}",
        "batch": "batch {}",
        "learning_rate": rate,
        "rounds": "{} rounds",
    }
    parts = [" ".join(model), *described(result, forms), seeds_of(result)]
    return f"{source(result)}: {', '.join(filter(None, parts))}"


def _notes(everything: Sequence[Group]) -> list[str]:
    if not everything:
        return []
    runs = [run for group in everything for run in group.runs]
    skews = [run.metrics["skew"] for run in runs if "skew" in run.metrics]
    skewed = (
        f"workers' labels differ from all labels by {np.mean(skews or 0.0):.2f} "
        "(mean total variation distance: 0 alike, towards 1 disjoint)"
    )
    sparse = [group.cell for group in everything if group.density < 1.0]
    scopes = sorted({str(cell.sparsifier.get("scope", "global")) for cell in sparse})
    devices = dict.fromkeys(str(run.cell.problem.get("device", "cpu")) for run in runs)
    return [
        *notes.on_runs(everything),
        *([skewed] if skews else []),
        *notes.on_coordination(everything),
        *notes.on_parameters(everything),
        f"MB sent per worker{notes.encodings(everything)}"
        + (f"; selection scope: {', '.join(scopes)}" if scopes else ""),
        "time: gradient/sparsify/exchange/update, evaluation not counted; "
        f"{', '.join(devices)}, {notes.processes(everything)}",
    ]
