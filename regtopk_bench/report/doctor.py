"""Tables of doctor: what the machine is, and how well the timing gate sees on it."""

from __future__ import annotations

from collections.abc import Iterator

from regtopk_bench.machine import Fact, remark
from regtopk_bench.report.table import WORDS, Column, Entry, Row, Table
from regtopk_bench.results.diagnosis import DiagnosedCell, Diagnosis
from regtopk_bench.results.rates import Share

_FACTS = (
    Column("fact", "fact", left=True, breaks=WORDS),
    Column("value", "value", left=True, breaks=WORDS),
    Column("remark", "remark", left=True, breaks=WORDS),
)

_LABELS = {
    "usable_processors": "usable processors",
    "processor_limit": "container's limit",
    "threads_per_core": "threads per core",
    "virtual_machine": "virtual machine",
    "gpu": "GPU",
    "gpu_clock_mhz": "GPU clock, MHz",
    "gpu_persistence": "GPU persistence mode",
}


def doctor_tables(diagnosis: Diagnosis) -> list[Table]:
    """Return the facts of the machine, and what was measured on it."""
    return [_facts(diagnosis), _gate(diagnosis)]


def _facts(diagnosis: Diagnosis) -> Table:
    rows = [
        Row([Entry(_LABELS.get(name, name)), Entry(_value(value)), Entry(remark(name, value))])
        for name, value in diagnosis.machine.items()
    ]
    threads = {
        name.removeprefix("threads_"): value
        for name, value in diagnosis.environment.items()
        if name.startswith("threads_")
    }
    shown = ", ".join(f"{name} {count}" for name, count in threads.items())
    stolen = f"{100.0 * diagnosis.stolen:.2g} %"
    rows += [
        Row([Entry("threads"), Entry(shown), Entry("")]),
        Row([Entry("stolen meanwhile"), Entry(stolen), Entry(_of_stolen(diagnosis.stolen))]),
    ]
    return Table("This machine", _FACTS, rows)


def _value(value: Fact) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _of_stolen(share: float) -> str:
    return "the host gives processor time to others" if share > 0.005 else ""


def _gate(diagnosis: Diagnosis) -> Table:
    columns = (
        Column("cell", "cell", left=True, breaks="/, "),
        Column("noise\nof a pair, %", "noise", spare=2),
        Column(f"finds {diagnosis.slowdown:g}×,\n% [interval]", "found", breaks=WORDS),
        Column("low", "low", hidden=True),
        Column("high", "high", hidden=True),
        Column("finds in\n95 % from", "found_in_95", spare=1),
        Column("key", "key", left=True, hidden=True),
    )
    title = (
        f"Timing on this machine: {diagnosis.pairs} pairs of processes, profile "
        f"{diagnosis.profile}, margin {diagnosis.margin:g}"
    )
    rows = [_cell(cell) for cell in diagnosis.cells]
    return Table(title, columns, rows, list(_notes(diagnosis)))


def _cell(cell: DiagnosedCell) -> Row:
    found = cell.found
    in_95 = "–" if cell.found_in_95 is None else f"{cell.found_in_95:.3f}×"
    return Row(
        [
            Entry(cell.name),
            Entry(f"{100.0 * cell.noise:.1f}", cell.noise),
            Entry(_share(found), found.value),
            Entry(f"{found.low:.3f}", found.low),
            Entry(f"{found.high:.3f}", found.high),
            Entry(in_95, "" if cell.found_in_95 is None else cell.found_in_95),
            Entry(cell.key),
        ]
    )


def _share(share: Share) -> str:
    value, low, high = (f"{100.0 * each:.1f}" for each in (share.value, share.low, share.high))
    return f"{value} [{low}, {high}]"


def _notes(diagnosis: Diagnosis) -> Iterator[str]:
    yield f"false alarms: {diagnosis.false_alarms} of gate runs on the same code"
    yield (
        f"such a run passes in {diagnosis.passed}, and takes {diagnosis.pairs_taken:.1f} pairs, "
        f"about {diagnosis.pairs_taken * diagnosis.seconds_per_pair:.0f} s, if its time is not "
        "limited"
    )
    yield (
        f"finds: gate runs that fail the cell if it alone becomes {diagnosis.slowdown:g} times "
        "slower"
    )
    yield "gate runs are drawn from the measured pairs; intervals are at 95 %"
    if diagnosis.unfit:
        yield str(diagnosis)
    else:
        yield "timing may gate on this machine"
