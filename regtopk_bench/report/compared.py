"""`compare`: what runs say together, as a value that prints as a table."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.notebook import data_frame, flat, html_table
from regtopk_bench.report import notes
from regtopk_bench.report.numbers import number
from regtopk_bench.report.phrases import written_p
from regtopk_bench.report.rows import density_entry
from regtopk_bench.report.table import NAME, Column, Entry, Row, Table
from regtopk_bench.results.measures import (
    BEST_ACCURACY,
    FINAL_ACCURACY,
    LOG10_GAP,
    LOG10_SENT_TO_TARGET,
    RECEIVED_PER_ROUND,
    ROUNDS_TO_TARGET,
    SENT_PER_ROUND,
    SENT_TO_TARGET,
    Better,
    Measure,
    measures_of,
    target_of,
)
from regtopk_bench.results.recorded import recorded_measures
from regtopk_bench.results.records import run_of
from regtopk_bench.results.schema import Result, Run, TrainingCell
from regtopk_bench.results.statistics import Comparison, Statistics, Summary, statistics
from regtopk_bench.results.summary import Estimate, Group, groups
from regtopk_bench.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

_BYTES = 1e3
"""The unit in which people read bytes."""

_WIDTH = 100
"""Characters in a line, where the terminal has no more."""

_HEADINGS = {
    LOG10_GAP: "log10\ngap",
    FINAL_ACCURACY: "accuracy",
    BEST_ACCURACY: "best\naccuracy",
    ROUNDS_TO_TARGET: "rounds\nto target",
    SENT_PER_ROUND: "kB sent\nper round",
    RECEIVED_PER_ROUND: "kB received\nper round",
    SENT_TO_TARGET: "kB sent\nto target",
}
_FINDINGS = {"same": "same runs", "open": "–"}


@dataclass(frozen=True, repr=False)
class Compared:
    """Means over seeds with 95 % confidence intervals, and pairs on the same seeds.

    It prints as a table; numbers are in `summary` and `comparisons`.
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
            ImportError: If pandas is not installed.
        """
        return data_frame([_facts(each) for each in self.summary])

    def __repr__(self) -> str:
        """Return the tables as text."""
        text, width = io.StringIO(), max(_WIDTH, shutil.get_terminal_size().columns)
        console = Console(file=text, color_system=None, width=width)
        for at, table in enumerate(self.tables):
            console.file.write("\n" if at else "")
            table.print_to(console)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

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
    recipe and number of entries sent are the same, or if one of them, as dense, sends all.
    What a command measures besides, as bytes until its target, is there if all are its results,
    with the same target.

    Args:
        what: Results, runs or traces. Of traces, the problem is taken to be the same.
        better: Which values of a metric are better, "lower" or "higher", for those whose names do
            not tell as `gap`, `loss` and `accuracy` do; others are not compared.

    Returns:
        The summary, which prints as a table.

    Raises:
        ConfigurationError: If there is nothing to compare, or two runs have the same cell.
    """
    given = [what] if isinstance(what, Result | Run | Trace) else _listed(what)
    runs = [run for each in given for run in _runs_of(each) if _is_training(run)]
    if not runs:
        raise ConfigurationError("there is no training run to compare")
    _check_distinct(runs)
    recorded = recorded_measures(runs, _checked(better or {}, runs))
    measures = {each.name: each for each in (*recorded, *_of_their_command(given))}
    found = statistics(runs, list(measures.values()))
    shown = [name for name in measures if name != LOG10_SENT_TO_TARGET and _known(found, name)]
    everything = groups(runs)
    tables = [_means(found, everything, shown)]
    pairs = [each for each in found.comparisons if math.isfinite(each.p) and each.metric in shown]
    return Compared(found, [*tables, *([_pairs(found, pairs)] if pairs else [])])


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
            cell = TrainingCell(
                problem={"workload": "simulate", "workers": given.workers},
                sparsifier=dict(given.sparsifier),
                recipe={"rounds": given.rounds},
                seed=given.seed,
            )
            return [run_of(cell, given, facts={}, environments=[])]
    raise ConfigurationError(f"expected results, runs or traces, not a {type(given).__name__}")


def _is_training(run: Run) -> bool:
    return isinstance(run.cell, TrainingCell)


def _check_distinct(runs: Sequence[Run]) -> None:
    seen: set[str] = set()
    for run in runs:
        if run.cell.key in seen:
            which = ", ".join(f"{name} {value}" for name, value in run.cell.which.items())
            raise ConfigurationError(
                f"two runs have the same cell ({which}): compare one of them, or give other names "
                "to problems that differ"
            )
        seen.add(run.cell.key)


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


def _means(found: Statistics, everything: Sequence[Group], shown: Sequence[str]) -> Table:
    settings = [flat({"problem": e.cell.problem, "recipe": e.cell.recipe}) for e in everything]
    names = dict.fromkeys(name for each in settings for name in each)
    varying = [name for name in names if len({repr(each.get(name)) for each in settings}) > 1]
    rows = [
        Row(
            [
                Entry(each.label),
                density_entry(each),
                *(Entry(str(setting.get(name, "–"))) for name in varying),
                Entry(str(len(each.seeds)), len(each.seeds)),
                *(_entry(name, each.metrics[name]) for name in shown),
            ]
        )
        for each, setting in zip(found.summary, settings, strict=True)
    ]
    columns = [
        Column("algorithm", "algorithm", left=True, breaks=NAME),
        Column("density", "density"),
        *(Column(name, name, left=True, breaks=NAME) for name in varying),
        Column("seeds", "seeds"),
        *(Column(_HEADINGS.get(name, name), name) for name in shown),
    ]
    below = [*notes.on_runs(everything), *_ended_badly(found)]
    sent = [f"kB sent per worker{notes.encodings(everything)}"] if SENT_PER_ROUND in shown else []
    return Table("Means over the seeds", columns, rows, [*below, *sent])


def _pairs(found: Statistics, pairs: Sequence[Comparison]) -> Table:
    by_group = {each.group: each for each in found.summary}
    columns = [
        Column("first", "first", left=True, breaks=NAME),
        Column("second", "second", left=True, breaks=NAME),
        Column("density", "density"),
        Column("of", "of", left=True, breaks=NAME),
        Column("difference", "difference"),
        Column("p\n(t-test)", "p"),
        Column("p\n(Holm)", "p_corrected"),
        Column("seeds", "n"),
        Column("better", "better", left=True, breaks=NAME),
    ]
    rows = [
        Row(
            [
                Entry(each.first.label),
                Entry(each.second.label),
                density_entry(by_group[each.first.group]),
                Entry(_HEADINGS.get(each.metric, each.metric).replace("\n", " ")),
                _entry(each.metric, each.difference, signed=True),
                *(Entry(written_p(p, certain=each.certain), p) for p in (each.p, each.p_corrected)),
                Entry(str(each.difference.n), each.difference.n),
                Entry(_finding(each)),
            ]
        )
        for each in pairs
    ]
    better = "better: where p, corrected for all pairs of its kind (Holm), is at most 0.05"
    return Table("First minus second, paired by seed", columns, rows, [better])


def _finding(pair: Comparison) -> str:
    if pair.finding in _FINDINGS:
        return _FINDINGS[pair.finding]
    return (pair.first if pair.finding == "first" else pair.second).label


def _ended_badly(found: Statistics) -> list[str]:
    told = []
    for each in found.summary:
        where = f" at density {each.density:g}" if each.has_density else ""
        runs = each.finished + each.stopped + each.diverged + each.failed
        for how in ("diverged", "failed"):
            count = getattr(each, how)
            if count:
                told.append(f"{each.label}{where}: {count} of {runs} {how}")
    return told


def _entry(name: str, value: Estimate, *, signed: bool = False) -> Entry:
    in_bytes = name in (SENT_PER_ROUND, RECEIVED_PER_ROUND, SENT_TO_TARGET)
    scaled = value.times(1.0 / _BYTES) if in_bytes else value
    return Entry(number(scaled, sign="+" if signed else ""), value.mean)


def _html(table: Table) -> str:
    columns = {
        column.line: [row.entries[at].text for row in table.rows]
        for at, column in enumerate(table.columns)
    }
    return html_table(columns, title=table.title, rest="; ".join(map(str, table.notes)))
