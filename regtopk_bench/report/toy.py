"""The motivational example as a table: the loss of each algorithm at chosen rounds."""

from __future__ import annotations

from regtopk_bench.report.table import Cell, Column, Row, Table
from regtopk_bench.results.schema import Result


def toy_table(result: Result) -> Table:
    """Return the table of a `toy` result."""
    names = [str(run.cell["algorithm"]) for run in result.runs]
    losses = [run.traces.get("loss", []) for run in result.runs]
    finished = min(map(len, losses), default=0)
    chosen = result.settings["at"].value or sorted({*_usual_rounds(finished), finished})
    rows = [
        Row([Cell(str(at), at), *(Cell(_text(loss[at - 1]), loss[at - 1]) for loss in losses)])
        for at in chosen
        if 1 <= at <= finished
    ]
    columns = [Column("round", "round")]
    columns += [Column(f"{name} loss", f"{name}_loss") for name in names]
    settings = result.settings
    title = (
        "Logistic loss of two workers whose large entries cancel: k=1, "
        f"η={settings['learning_rate'].value:g}, μ={settings['mu'].value:g}"
    )
    return Table(title, columns, rows)


def _usual_rounds(last: int) -> list[int]:
    """Return 1, 2, 5, 10, 20, 50, … up to the last."""
    steps = (digit * 10**power for power in range(len(str(last))) for digit in (1, 2, 5))
    return [step for step in steps if step <= last]


def _text(loss: float) -> str:
    return f"{loss:.6f}" if loss >= 1e-4 else f"{loss:.2e}"
