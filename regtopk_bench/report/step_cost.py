"""The table and the plot of `cost`: what a step takes on a network with each sparsifier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regtopk_bench.algorithms import REFERENCE
from regtopk_bench.extras import needed_by
from regtopk_bench.network import Network
from regtopk_bench.network.quantities import written_seconds
from regtopk_bench.report.notes import parameters_of
from regtopk_bench.report.numbers import bit_rate, byte_unit, duration, short, time_unit
from regtopk_bench.report.phrases import listed
from regtopk_bench.report.rows import density_entry
from regtopk_bench.report.step_answer import answers
from regtopk_bench.report.table import NAME, Column, Entry, Row, Table
from regtopk_bench.results.costs import CostLine, Costs, Timed

_DIGITS = 3
"""Significant digits of times: the model knows no more."""


def cost_tables(costs: Costs) -> list[Table]:
    """Return the table, which ends with the answer."""
    bytes_unit, in_bytes = byte_unit(
        max(max(line.sent_bytes, line.received_bytes) for line in costs.lines)
    )
    times = [costs.time(each) for line in costs.lines for each in (line.exposed, line.overlapped)]
    unit, in_seconds = time_unit(max((each for each in times if each is not None), default=0.0))
    to_target = f" to {costs.rounds.target}" if costs.rounds else ""
    columns = [
        Column("algorithm", "algorithm", left=True, breaks=NAME),
        Column("density", "density"),
        Column(f"rounds\n{to_target.strip()}", "rounds_to_target", spare=2, hidden=not to_target),
        Column(f"{bytes_unit}/step\nup/down", "sent_bytes", spare=4),
        Column("", "received_bytes", hidden=True),
        Column("sparsify,\nms", "sparsify_seconds", spare=3),
        Column("", "communication_seconds", hidden=True),
        *_columns("exposed", f"{unit}{to_target}", spare=1),
        *_columns("overlapped", f"{unit}{to_target}"),
        Column("pays\nbelow", "pays", left=True),
    ]
    last = costs.lines[-1]
    rows = [
        Row(
            _entries(costs, line, in_bytes, in_seconds),
            section_ends=line is last or following.density != line.density,
        )
        for line, following in zip(costs.lines, [*costs.lines[1:], last], strict=True)
    ]
    return [Table(_title(costs), columns, rows, [*_notes(costs), *answers(costs)])]


def draw(costs: Costs, path: Path) -> None:
    """Draw seconds a step against bandwidth into a file, whose suffix says its format.

    Raises:
        MissingPackageError: If Matplotlib is not installed.
        OSError: If it cannot be written.
    """
    with needed_by("the plot"):
        from regtopk_bench.report import figures, step_plot  # Matplotlib is slow to import
    with figures.style():
        figures.save(step_plot.cost_figure(costs, figures.Page()), path)


def _columns(mode: str, unit: str, spare: int = 0) -> Iterator[Column]:
    """Yield the columns of one way to exchange messages; programs get each number by itself."""
    yield Column(f"{mode},\n{unit} (×)", f"{mode}_seconds", spare=spare)
    for name in ("seconds_to_target", "speed_up", "pays_below"):
        yield Column("", f"{mode}_{name}", hidden=True)


def _entries(costs: Costs, line: CostLine, in_bytes: float, in_seconds: float) -> list[Entry]:
    up, down, rounds = line.sent_bytes, line.received_bytes, line.rounds_to_target
    sparsify = line.footprint.sparsify_seconds
    return [
        Entry(line.label),
        density_entry(line),
        Entry("–" if rounds is None else f"{rounds:.0f}", _raw(rounds)),
        Entry(f"{up / in_bytes:.3g}/{down / in_bytes:.3g}", up),
        Entry("", down),
        Entry(short(1e3 * sparsify, _DIGITS), sparsify),
        Entry("", line.communication_seconds),
        *_timed(costs, line.exposed, in_seconds),
        *_timed(costs, line.overlapped, in_seconds),
        _pays(line.overlapped),
    ]


def _timed(costs: Costs, timed: Timed, in_seconds: float) -> Iterator[Entry]:
    """Yield the entries of `_columns`."""
    time = costs.time(timed)
    shown = "–" if time is None else short(time / in_seconds, _DIGITS)
    if timed.speed_up is not None:
        shown += f" ({timed.speed_up:.3g})"
    yield Entry(shown, timed.seconds)
    for each in (timed.to_target, timed.speed_up, timed.break_even):
        yield Entry("", _raw(each))


def _pays(timed: Timed) -> Entry:
    """Return on which links it pays."""
    shown = timed.pays or "–" if timed.pays_below is None else bit_rate(timed.pays_below)
    return Entry(shown, timed.pays or "")


def _raw(value: float | None) -> float | str:
    return "" if value is None else value


def _title(costs: Costs) -> str:
    parts = [
        f"J={costs.params:,} ({costs.dtype})",
        f"N={costs.workers} workers",
        costs.network,
        f"compute {written_seconds(costs.compute_seconds)}",
    ]
    what = f"Training to {costs.rounds.target}" if costs.rounds else "A step of training"
    return f"{what}: {', '.join(parts)}"


def _notes(costs: Costs) -> Iterator[str]:
    """Yield what a reader must know to read the columns."""
    link = "the link of a node" if Network.parse(costs.network).inside else "the link of a worker"
    yield f"up/down: sent and received by a worker, what it passes on included; {_ways(costs)}"
    yield from _sparsifying(costs)
    yield from parameters_of([line.cell for line in costs.lines])
    yield (
        "exposed: messages travel after the backward pass, as when entries are selected in the "
        f"whole gradient; overlapped: during it, {duration(costs.backward_seconds)} (two thirds of "
        "the computation), as when parts of a gradient are selected and sent as soon as they are "
        "there"
    )
    yield (
        f"(×): how many times as long {REFERENCE.label} takes; pays below: the bandwidth of {link} "
        f"below which {REFERENCE.label} takes longer, overlapped"
    )


def _ways(costs: Costs) -> str:
    """Return how messages are exchanged, in words."""
    footprints = {line.label: line.footprint for line in costs.lines}
    summed = [name for name, each in footprints.items() if each.summed_bytes is not None]
    reduce, gather = "by all-reduce", "by all-gather"
    if Network.parse(costs.network).between.topology == "server":
        reduce = "through a server"
        gather = "through a server, as if no two workers sent the same entry"
    ways = [f"{listed(summed)} {reduce}, values alone"]
    others: dict[str, list[str]] = {}
    for name, each in footprints.items():
        if each.summed_bytes is None:
            others.setdefault(each.encoding, []).append(name)
    ways += [f"{listed(names)} {gather} ({encoding})" for encoding, names in others.items()]
    if chosen := [name for name in summed if name != costs.reference.label]:
        ways.append(f"sparse_hook gathers {listed(chosen)} too, with indices")
    if costs.dtype in ("bfloat16", "float16"):
        ways.append("sparsifiers compute in float32")
    scaled = costs.counted < costs.params
    return "; ".join(ways) + (
        f"; counted in messages about {costs.counted:,} entries, in proportion" if scaled else ""
    )


def _sparsifying(costs: Costs) -> Iterator[str]:
    """Yield where the sparsifiers' own time comes from."""
    if costs.timed is None:
        yield "sparsify: as given"
        return
    on_gpu = costs.device == "cuda"
    where = str(costs.environment.get("gpu" if on_gpu else "cpu") or costs.device)
    threads = None if on_gpu else costs.environment.get("threads_openmp")
    on = f"{where}, {threads} threads" if threads else where
    scaled = (
        f" on {costs.timed:,} normal entries, in proportion" if costs.timed < costs.params else ""
    )
    yield f"sparsify: measured here ({on}){scaled}"
    if not on_gpu:
        yield (
            "a processor takes longer than the GPU that gradients may be on: measure there, or "
            "give --sparsifier-time"
        )
