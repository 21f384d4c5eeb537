"""The motivational example as a table: the loss of each algorithm at chosen rounds."""

from __future__ import annotations

from regtopk_bench.report.table import Cell, Column, Row, Table
from regtopk_bench.results.schema import Result


def toy_table(result: Result) -> Table:
    """Return the table of a `toy` result."""
    names = [str(run.cell["algorithm"]) for run in result.runs]
    finished = min((len(run.traces.get("loss", [])) for run in result.runs), default=0)
    rows = [
        Row(
            [
                Cell(str(at), at),
                *(Cell(f"{run.traces['loss'][at - 1]:.6f}", run.traces["loss"][at - 1])
                  for run in result.runs),
            ]
        )
        for at in result.settings["at"].value
        if at <= finished
    ]
    columns = [Column("round", "round"), *(Column(f"{name} loss", f"{name}_loss") for name in names)]
    settings = result.settings
    title = (
        "Logistic loss of two workers whose large entries cancel: k=1, "
        f"η={settings['learning_rate'].value:g}, μ={settings['mu'].value:g}"
    )
    return Table(title, columns, rows)
