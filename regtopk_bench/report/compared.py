"""`compare`: what runs say together, as a value that prints as a table."""

from __future__ import annotations

import io
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.notebook import data_frame, html_table
from regtopk_bench.report.summary import summary_tables
from regtopk_bench.report.table import Table
from regtopk_bench.results.measures import (
    FINAL_ACCURACY,
    LOG10_GAP,
    LOG10_SENT_TO_TARGET,
    Better,
    Measure,
    measures_of,
    target_of,
)
from regtopk_bench.results.recorded import recorded_measures
from regtopk_bench.results.records import Status, run_of
from regtopk_bench.results.schema import Result, Run, TrainingCell
from regtopk_bench.results.statistics import Comparison, Statistics, Summary, statistics
from regtopk_bench.results.summary import groups
from regtopk_bench.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

_WIDTH = 100
"""Characters in a line, where there is no terminal that has more or fewer."""


@dataclass(frozen=True, repr=False)
class Compared:
    """Means over seeds with 95 % confidence intervals, pairs on the same seeds, and the answer.

    It prints as tables; numbers are in `summary` and `comparisons`.
    """

    statistics: Statistics
    """All of them."""

    tables: Sequence[Table]
    """What is printed."""

    @property
    def summary(self) -> list[Summary]:
        """Means over seeds, for every configuration in order of appearance."""
        return self.statistics.summary

    @property
    def comparisons(self) -> list[Comparison]:
        """Pairs of configurations whose problem and recipe are the same."""
        return self.statistics.comparisons

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each configuration.

        A metric is a column with its means; the half-widths of their intervals are in another,
        its name with "_half_width" behind.

        Raises:
            MissingPackageError: If pandas is not installed.
        """
        return data_frame([_facts(each) for each in self.summary])

    def __repr__(self) -> str:
        """Return the tables as text, in the width and the characters that stdout has."""
        on_terminal = sys.stdout is not None and sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if on_terminal else _WIDTH
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        buffer = io.BytesIO()
        text = io.TextIOWrapper(buffer, encoding, errors="replace", newline="\n")
        console = Console(file=text, color_system=None, width=width)
        for at, table in enumerate(self.tables):
            text.write("\n" if at else "")
            table.print_to(console)
        text.flush()
        lines = buffer.getvalue().decode(encoding).splitlines()
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        """Return the tables as HTML."""
        return "\n".join(map(_html, self.tables))


def compare(
    what: Result | Run | Trace | Iterable[Result | Run | Trace],
    *,
    better: Mapping[str, Better] | None = None,
) -> Compared:
    """Summarise training runs over their seeds, and compare those on the same seeds in pairs.

    Runs that differ only in their seed make up a configuration. Pairs are compared if problem,
    recipe and number of entries sent are the same, or if one of them, as dense, sends all. What
    that says is told in sentences, of the first metric in `better`, else of accuracy, gap or loss.
    What a command measures besides, as bytes until its target, is there if all are its results,
    with the same target.

    Args:
        what: Results, runs or traces. Of traces with as many workers and parameters, the problem is
            taken to be the same.
        better: Which values of a metric are better, "lower" or "higher", for those whose names do
            not tell as `gap`, `loss` and `accuracy` do; others are not compared.

    Returns:
        The summary, which prints as a table.

    Raises:
        ConfigurationError: If there is nothing to compare, two runs have the same cell, or runs of
            what is said to be one problem differ in their number of workers or parameters.
    """
    given = [what] if isinstance(what, Result | Run | Trace) else _listed(what)
    runs = [run for each in given for run in _runs_of(each) if _is_training(run)]
    if not runs:
        raise ConfigurationError("there is no training run to compare")
    _check_distinct(runs)
    _check_problems(runs)
    recorded = recorded_measures(runs, _checked(better or {}, runs))
    measures = {each.name: each for each in (*recorded, *_of_their_command(given))}
    found = statistics(runs, list(measures.values()))
    shown = [name for name in measures if name != LOG10_SENT_TO_TARGET and _known(found, name)]
    deciding = _deciding(measures.values(), better or {})
    return Compared(found, summary_tables(found, groups(runs), shown, deciding))


def _of_their_command(given: Sequence[object]) -> Sequence[Measure]:
    """Return what a command measures, if all that is given are its results with one target."""
    results = [each for each in given if isinstance(each, Result)]
    targets = {None if math.isnan(target_of(each)) else target_of(each) for each in results}
    of_one = len({each.command for each in results}) == len(targets) == 1
    return measures_of(results[0]) if of_one and len(results) == len(given) else ()


def _listed(what: Any) -> list[Any]:
    if not isinstance(what, Iterable) or isinstance(what, str | Mapping):
        raise ConfigurationError(f"expected results, runs or traces, not a {type(what).__name__}")
    return list(what)


def _runs_of(given: object) -> Sequence[Run]:
    match given:
        case Result():
            return given.runs
        case Run():
            return [given]
        case Trace():
            sizes = {"workers": given.workers, "parameters": len(given.final_parameters)}
            cell = TrainingCell(
                problem={"workload": "simulate", **sizes},
                sparsifier=dict(given.sparsifier),
                recipe=dict(given.recipe),
                seed=given.seed,
            )
            ended: Status = "finished" if given.rounds == given.recipe["rounds"] else "stopped"
            return [run_of(cell, given, ended, facts={}, environments=[])]
    raise ConfigurationError(f"expected results, runs or traces, not a {type(given).__name__}")


def _is_training(run: Run) -> bool:
    return isinstance(run.cell, TrainingCell)


def _check_distinct(runs: Sequence[Run]) -> None:
    seen: set[str] = set()
    for run in runs:
        if run.cell.key in seen:
            raise ConfigurationError(
                f"two runs have the same cell ({_which(run)}): compare one of them, or give other "
                "names to problems that differ"
            )
        seen.add(run.cell.key)


def _which(run: Run) -> str:
    return ", ".join(f"{name} {value}" for name, value in run.cell.which.items())


def _check_problems(runs: Sequence[Run]) -> None:
    """Raise ConfigurationError if runs of one problem cannot be of the same one."""
    first: dict[str, Run] = {}
    for run in runs:
        one = first.setdefault(repr(run.cell.problem), run)
        for name in ("workers", "parameters"):
            if run.metrics[name] != one.metrics[name]:
                raise ConfigurationError(
                    f"two problems are named {run.cell.problem['workload']}: runs have "
                    f"{one.metrics[name]:,} {name} ({_which(one)}) and {run.metrics[name]:,} "
                    f"({_which(run)}); name each, as by simulate_seeds(..., name=...)"
                )


def _checked(better: Mapping[str, Better], runs: Sequence[Run]) -> Mapping[str, Better]:
    known = dict.fromkeys(name for run in runs for name in run.final)
    for name, which in better.items():
        if name not in known:
            raise ConfigurationError(f'no run has a metric "{name}"; there are {", ".join(known)}')
        if which not in ("lower", "higher"):
            raise ConfigurationError(f'{name}: expected "lower" or "higher", not {which!r}')
    return better


def _known(found: Statistics, name: str) -> bool:
    return any(math.isfinite(each.metrics[name].mean) for each in found.summary)


def _facts(summary: Summary) -> dict[str, object]:
    facts: dict[str, object] = {
        "algorithm": summary.label,
        "density": summary.density,
        "seeds": len(summary.seeds),
        **{name: getattr(summary, name) for name in ("finished", "stopped", "diverged", "failed")},
    }
    for name, value in summary.metrics.items():
        facts |= {name: value.mean, f"{name}_half_width": value.half_width}
    return facts


def _deciding(measures: Iterable[Measure], asked: Iterable[str]) -> str:
    """Return the name of the metric whose comparisons are told in sentences; empty if none is."""
    compared = [each.name for each in measures if each.better and not each.across_densities]
    order = [*asked, FINAL_ACCURACY, LOG10_GAP, *compared]
    return next((name for name in order if name in compared), "")


def _html(table: Table) -> str:
    columns = {
        column.line: [row.entries[at].text for row in table.rows]
        for at, column in enumerate(table.columns)
    }
    return html_table(columns, title=table.title, rest="; ".join(map(str, table.notes)))
