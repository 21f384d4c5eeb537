"""The tables of `compare`: means over seeds, pairs on the same seeds, and what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from regtopk_bench.notebook import flat
from regtopk_bench.report import notes
from regtopk_bench.report.answer import ACCURACY, GAP, Wording, answers
from regtopk_bench.report.cost import Target
from regtopk_bench.report.numbers import number
from regtopk_bench.report.phrases import written_p
from regtopk_bench.report.rows import density_entry
from regtopk_bench.report.table import NAME, Column, Entry, Row, Table
from regtopk_bench.results.labels import written
from regtopk_bench.results.measures import (
    BEST_ACCURACY,
    FINAL_ACCURACY,
    LOG10_GAP,
    RECEIVED_PER_ROUND,
    ROUNDS_TO_TARGET,
    SENT_PER_ROUND,
    SENT_TO_TARGET,
)
from regtopk_bench.results.statistics import Comparison, Statistics
from regtopk_bench.results.summary import Estimate, Group

Settings = Mapping[str, Mapping[str, Any]]
"""Of each group, the facts of problem and recipe that are not those of all."""

_BYTES = 1e3
"""The unit in which people read bytes."""

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
_WORDINGS = {LOG10_GAP: GAP, FINAL_ACCURACY: ACCURACY}
_FIVE_SEEDS = "seeds=range(5) runs five"
_HOW = "p: "
"""Begins the line on how p was computed, which is the same for all problems and recipes."""


def summary_tables(
    found: Statistics, everything: Sequence[Group], shown: Sequence[str], deciding: str
) -> list[Table]:
    """Return the means over seeds and, if there are any, the pairs; the last ends with the answer.

    Args:
        found: The statistics of the groups.
        everything: The groups.
        shown: The names of the measures to show.
        deciding: The one whose comparisons are told in sentences; empty for none.
    """
    pairs = [each for each in found.comparisons if math.isfinite(each.p) and each.metric in shown]
    settings = _settings(everything)
    told = _told(found, settings, deciding) if deciding else []
    means = _means(found, everything, settings, shown, [] if pairs else told)
    return [means, *([_pairs(found, pairs, settings, told)] if pairs else [])]


def _told(found: Statistics, settings: Settings, metric: str) -> list[str]:
    """Return the answer in sentences, for each problem and recipe by itself."""
    wording = _WORDINGS.get(metric) or Wording(metric, metric, f"in {metric}", places=None)
    sections: dict[str, set[str]] = {}
    for group, setting in settings.items():
        which = ", ".join(written(name, value) for name, value in setting.items())
        sections.setdefault(which, set()).add(group)
    told, how = [], ""
    for which, members in sections.items():
        part = Statistics(
            summary=[each for each in found.summary if each.group in members],
            comparisons=[each for each in found.comparisons if each.first.group in members],
        )
        for line in answers(part, wording, Target("", "kB", _BYTES), _FIVE_SEEDS):
            if line.startswith(_HOW):
                how = max(how, line, key=len)
            else:
                told.append(f"{which}: {line}" if which else line)
    return [*told, *filter(None, [how])]


def _settings(everything: Sequence[Group]) -> Settings:
    """Return the facts of problem and recipe in which groups differ."""
    facts = [flat({"problem": e.cell.problem, "recipe": e.cell.recipe}) for e in everything]
    names = dict.fromkeys(name for each in facts for name in each)
    varying = [name for name in names if len({repr(each.get(name)) for each in facts}) > 1]
    return {
        group.cell.group: {name: each.get(name, "–") for name in varying}
        for group, each in zip(everything, facts, strict=True)
    }


def _setting_columns(settings: Settings) -> list[Column]:
    names = next(iter(settings.values()))
    return [Column(name, name, left=True, breaks=NAME) for name in names]


def _means(
    found: Statistics,
    everything: Sequence[Group],
    settings: Settings,
    shown: Sequence[str],
    told: Sequence[str],
) -> Table:
    rows = [
        Row(
            [
                Entry(each.label),
                density_entry(each),
                *(Entry(str(value)) for value in settings[each.group].values()),
                Entry(str(len(each.seeds)), len(each.seeds)),
                *(_entry(name, each.metrics[name]) for name in shown),
            ]
        )
        for each in found.summary
    ]
    columns = [
        Column("algorithm", "algorithm", left=True, breaks=NAME),
        Column("density", "density"),
        *_setting_columns(settings),
        Column("seeds", "seeds"),
        *(Column(_HEADINGS.get(name, name), name) for name in shown),
    ]
    below = [*notes.on_runs(everything), *_ended_badly(found)]
    sent = [f"kB sent per worker{notes.encodings(everything)}"] if SENT_PER_ROUND in shown else []
    return Table("Means over the seeds", columns, rows, [*below, *sent, *told])


def _pairs(
    found: Statistics, pairs: Sequence[Comparison], settings: Settings, told: Sequence[str]
) -> Table:
    by_group = {each.group: each for each in found.summary}
    columns = [
        Column("first", "first", left=True, breaks=NAME),
        Column("second", "second", left=True, breaks=NAME),
        Column("density", "density"),
        *_setting_columns(settings),
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
                *(Entry(str(value)) for value in settings[each.first.group].values()),
                Entry(_HEADINGS.get(each.metric, each.metric).replace("\n", " ")),
                _entry(each.metric, each.difference, signed=True),
                *(Entry(written_p(p), p) for p in (each.p, each.p_corrected)),
                Entry(str(each.difference.n), each.difference.n),
                Entry(_finding(each)),
            ]
        )
        for each in pairs
    ]
    better = "better: where p, corrected for all pairs of its kind (Holm), is at most 0.05"
    return Table("First minus second, paired by seed", columns, rows, [better, *told])


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
