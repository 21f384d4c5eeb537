"""The notes below tables of training runs: what a reader must know to read the columns."""

from __future__ import annotations

from collections.abc import Sequence

from regtopk_bench.algorithms import algorithm
from regtopk_bench.network import Network
from regtopk_bench.report.phrases import listed, seeds
from regtopk_bench.results.labels import common_parameters, labels, written
from regtopk_bench.results.schema import Run, TrainingCell
from regtopk_bench.results.summary import Group
from regtopk_bench.trace import PHASES

MARK = (
    "* better than every other at its density (corrected p ≤ 0.05), but for bounds, runs that "
    "diverged or failed, and identical ones"
)
"""What an asterisk at a row says."""

_NOTED_SECONDS, _TIMES = 1.0, 3.0
"""What exchanging messages takes at least to be worth a word, and how many times as long as one
process would take for everything."""


def on_runs(groups: Sequence[Group]) -> list[str]:
    """Return what ± means, and how many runs were stopped early."""
    counts = {len(group.counted) for group in groups} - {0, 1}
    stopped = sum(run.status == "stopped" for group in groups for run in group.runs)
    notes = []
    if counts:
        notes.append(f"± 95 % confidence interval of the mean over {seeds(counts)}")
    if stopped:
        runs, so = ("run", "it enters") if stopped == 1 else ("runs", "they enter")
        why = f"the last round was not reached, and {so} no verdict"
        notes.append(f"{stopped} {runs} stopped early: {why}")
    return notes


def on_parameters(groups: Sequence[Group]) -> list[str]:
    """Return the hyper-parameters of each algorithm that rows do not show already."""
    return parameters_of([group.cell for group in groups])


def parameters_of(cells: Sequence[TrainingCell]) -> list[str]:
    """Return the hyper-parameters that all configurations of an algorithm share, one by one."""
    short = {label.algorithm: label.short for label in labels(cells).values()}
    notes = []
    for name, values in common_parameters(cells).items():
        shown = [written(each, value) for each, value in values.items() if each != "scope"]
        if shown:
            notes.append(f"{short[name]}: {', '.join(shown)}")
    return notes


def on_coordination(groups: Sequence[Group]) -> list[str]:
    """Return the cost of agreeing on a selection, for each algorithm whose workers do."""
    costs: dict[str, float] = {}
    for group in groups:
        name = group.cell.algorithm
        costs[name] = max(costs.get(name, 0.0), *map(_coordination, group.runs))
    short = _short_names(groups)
    notes = []
    for name, cost in costs.items():
        amount = f"{cost / 1e3:.3g} kB per worker and round"
        if cost and algorithm(name).achievable:
            notes.append(f"{short[name]}: what is sent includes {amount} of coordination")
        elif cost:
            notes.append(
                f"{short[name]}: a bound that no system can reach; the {amount} that it would "
                "take to see all gradients are not counted"
            )
    return notes


def on_projection(network: Network | None, groups: Sequence[Group]) -> list[str]:
    """Return what projected times are made of, if there are any."""
    if network is None:
        return []
    short = _short_names(groups)
    names = dict.fromkeys(short[group.cell.algorithm] for group in groups)
    summed = dict.fromkeys(
        short[group.cell.algorithm]
        for group in groups
        if any(run.summed_bytes is not None for run in group.runs)
    )
    gathered = [name for name in names if name not in summed]
    ways = "all messages and the aggregate pass through a server"
    if network.between.topology != "server":
        ways = "; ".join(
            [
                *([f"{listed(summed)} by all-reduce, values alone"] if summed else []),
                *([f"{listed(gathered)} by all-gather"] if gathered else []),
            ]
        )
    return [
        f"projected: on {network}, with a worker's own computation as measured here, and then its "
        f"messages: {ways}"
    ]


def encodings(groups: Sequence[Group]) -> str:
    """Return how bytes are counted, in parentheses; by algorithm if they differ."""
    short = _short_names(groups)
    users: dict[str, dict[str, None]] = {}
    for group in groups:
        for run in group.runs:
            if run.encoding:
                users.setdefault(run.encoding, {})[short[group.cell.algorithm]] = None
    told = [f"{', '.join(names)}: {text}" for text, names in users.items()]
    told = told if len(told) > 1 else list(users)
    return f" ({'; '.join(told)})" if told else ""


def processes(groups: Sequence[Group]) -> str:
    """Return how many processes hosted the workers."""
    counts = {int(run.execution["processes"]) for group in groups for run in group.runs}
    return f"{', '.join(map(str, sorted(counts)))} process{'es' if counts != {1} else ''}"


def slow_exchange(run: Run) -> str | None:
    """Return what to say of a run, by its own times, that one process would have made sooner."""
    seconds = {phase: run.execution[f"{phase}_seconds"] for phase in PHASES}
    exchange, processes = seconds.pop("exchange"), int(run.execution["processes"])
    computing = sum(seconds.values())
    alone = processes * computing
    much = exchange >= _NOTED_SECONDS and exchange + computing >= _TIMES * alone
    if processes == 1 or not much:
        return None
    return (
        f"{processes} processes took {exchange:.3g} s to exchange messages and {computing:.2g} s "
        f"to compute: one process would take about {alone:.2g} s"
    )


def _coordination(run: Run) -> float:
    """Return the bytes of coordination per worker and round."""
    metrics = run.metrics
    return metrics["coordination_bytes"] / max(metrics["rounds"], 1) / metrics["workers"]


def _short_names(groups: Sequence[Group]) -> dict[str, str]:
    found = labels(group.cell for group in groups).values()
    return {label.algorithm: label.short for label in found}
