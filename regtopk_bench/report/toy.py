"""The motivational example as a table: the loss of each algorithm at chosen rounds."""

from __future__ import annotations

from regtopk_bench.report import notes
from regtopk_bench.report.table import Column, Entry, Row, Table, printable
from regtopk_bench.report.title import described, setting
from regtopk_bench.results.labels import labels
from regtopk_bench.results.schema import Result
from regtopk_bench.results.summary import groups


def toy_table(result: Result) -> Table:
    """Return the table of a `toy` result."""
    everything = groups(result.runs)
    names = [str(label) for label in labels(group.cell for group in everything).values()]
    losses = [group.runs[0].traces["loss"] for group in everything]
    finished = min(map(len, losses), default=0)
    chosen = setting(result, "at") or sorted({*_usual_rounds(finished), finished})
    rows = [
        Row([Entry(str(at), at), *(Entry(_text(loss[at - 1]), loss[at - 1]) for loss in losses)])
        for at in chosen
        if 1 <= at <= finished
    ]
    columns = [Column("round", "round")]
    columns += [Column(f"{name}\nloss", f"{name}_loss") for name in map(printable, names)]
    parts = ["k=1", *described(result, {"learning_rate": "η={:g}"})]
    title = f"Logistic loss of two workers whose large entries cancel: {', '.join(parts)}"
    return Table(title, columns, rows, notes.on_parameters(everything))


def _usual_rounds(last: int) -> list[int]:
    """Return 1, 2, 5, 10, 20, 50, … up to the last."""
    steps = (digit * 10**power for power in range(len(str(last))) for digit in (1, 2, 5))
    return [step for step in steps if step <= last]


def _text(loss: float) -> str:
    return f"{loss:.6f}" if loss >= 1e-4 else f"{loss:.2e}"
