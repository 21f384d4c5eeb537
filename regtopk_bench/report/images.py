"""The tables of an image experiment: accuracies, what they cost, and where the time went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from regtopk_bench.report import notes
from regtopk_bench.report.answer import ACCURACY, answers
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
    raw,
    unit_to_target,
    whole,
)
from regtopk_bench.report.table import NAME, Column, Entry, Row, Table
from regtopk_bench.report.title import described, seeds_of, setting
from regtopk_bench.results.labels import Label, labels
from regtopk_bench.results.measures import BEST_ACCURACY, FINAL_ACCURACY, network_of, target_of
from regtopk_bench.results.schema import Result
from regtopk_bench.results.standing import winners
from regtopk_bench.results.statistics import Statistics, Summary, statistics_of
from regtopk_bench.results.summary import Group, estimate
from regtopk_bench.trace import PHASES


def image_tables(result: Result) -> list[Table]:
    """Return the tables of a `cifar` result: accuracies, and the comparison by seed.

    The last ends with the answer.
    """
    statistics = statistics_of(result)
    wanted = target_of(result)
    reached = "" if math.isnan(wanted) else f"{100 * wanted:g} %"
    target = Target(reached, *unit_to_target(statistics, 1e6))
    told = answers(statistics, ACCURACY, target)
    compared = comparison_table(
        statistics,
        f" in points of accuracy on {source(result)} (positive: the first is better)",
        {"best": BEST_ACCURACY, "final": FINAL_ACCURACY},
        scale=100.0,
        notes=told,
    )
    first = _accuracies(result, statistics, target, [] if compared else told)
    return [first, *([compared] if compared else [])]


def source(result: Result) -> str:
    """Return the name of the images, with synthetic ones in capitals."""
    if any(run.cell.problem.get("dataset") == "synthetic" for run in result.runs):
        return "SYNTHETIC images"
    return Path(str(setting(result, "data") or "CIFAR-10")).name


def _accuracies(
    result: Result, statistics: Statistics, target: Target, below: Sequence[str]
) -> Table:
    sections = by_density(result)
    everything = [group for section in sections for group in section]
    named = labels(group.cell for group in everything)
    images = Entry(source(result))
    compact = is_compact(everything)
    best = winners(statistics, FINAL_ACCURACY)
    rows = [
        Row(
            [
                *_entries(
                    group, statistics.of(group), named[group.cell.group], target.in_bytes, compact
                ),
                images,
            ],
            group.cell.group in best,
            section_ends=group is section[-1],
        )
        for section in sections
        for group in section
    ]
    columns = [
        Column("algorithm", "algorithm", left=True, breaks=NAME),
        Column("density", "density"),
        *mean_columns("best\naccuracy, %", BEST_ACCURACY, spare=5),
        *mean_columns("final\naccuracy, %", FINAL_ACCURACY),
        *cost_columns(target.unit, target.text or "target", network_of(result) is not None),
        *(bits_columns() if compact else []),
        *mean_columns("images/\ns", "images_per_second", spare=4),
        Column("time, %\ng/s/x/u", "shares", drawing=True),
        *(Column(phase, f"{phase}_share", hidden=True) for phase in PHASES),
        *COUNTS,
        Column("images", "images", hidden=True),
    ]
    return Table(_title(result), columns, rows, [*_notes(result, everything, bool(best)), *below])


def _entries(
    group: Group, summary: Summary, label: Label, in_bytes: float, compact: bool
) -> list[Entry]:
    speed = estimate(group.execution("rounds_per_second")).times(images_per_round(group))
    spent = [estimate(group.execution(f"{phase}_seconds")).mean for phase in PHASES]
    shares = [each / sum(spent) if sum(spent) else math.nan for each in spent]
    shown = "/".join("–" if math.isnan(share) else f"{100 * share:.0f}" for share in shares)
    return [
        *naming(group, label),
        *outcome(group, summary.metrics[BEST_ACCURACY], scale=100.0),
        *outcome(group, summary.metrics[FINAL_ACCURACY], scale=100.0),
        *cost_entries(summary, in_bytes),
        *(bits_entries(group) if compact else []),
        *mean_entries(whole(speed) if not speed.mean < 10 else f"{speed.mean:.2g}", speed),
        Entry(shown),
        *(Entry("", raw(share)) for share in shares),
        *count_entries(summary),
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


def _notes(result: Result, everything: Sequence[Group], marked: bool) -> list[str]:
    if not everything:
        return []
    runs = [run for group in everything for run in group.runs]
    skews = [run.metrics["skew"] for run in runs if "skew" in run.metrics]
    skewed = (
        f"workers' labels differ from all labels by {np.mean(skews or 0.0):.2f} "
        "(mean total variation distance: 0 alike, towards 1 disjoint)"
    )
    sparse = [group.cell for group in everything if group.has_density]
    scopes = sorted({str(cell.sparsifier.get("scope", "global")) for cell in sparse})
    devices = dict.fromkeys(str(run.cell.problem.get("device", "cpu")) for run in runs)
    return [
        *([notes.MARK] if marked else []),
        *notes.on_runs(everything),
        *([skewed] if skews else []),
        *notes.on_coordination(everything),
        *notes.on_parameters(everything),
        *([NOTE] if is_compact(everything) else []),
        f"bytes sent (up) and received (down) per worker{notes.encodings(everything)}"
        + (f"; selection scope: {', '.join(scopes)}" if scopes else ""),
        "time: gradient/sparsify/exchange/update, evaluation not counted; "
        f"{', '.join(devices)}, {notes.processes(everything)}",
        *notes.on_projection(network_of(result), everything),
    ]
