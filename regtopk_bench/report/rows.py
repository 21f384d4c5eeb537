"""What the rows of convergence and image tables share."""

from __future__ import annotations

import math

from regtopk_bench.report.numbers import byte_unit, number
from regtopk_bench.report.table import Column, Entry
from regtopk_bench.results.labels import Label
from regtopk_bench.results.measures import (
    PROJECTED_PER_ROUND,
    PROJECTED_TO_TARGET,
    RECEIVED_PER_ROUND,
    ROUNDS_TO_TARGET,
    SENT_PER_ROUND,
    SENT_TO_TARGET,
)
from regtopk_bench.results.schema import Result
from regtopk_bench.results.statistics import Statistics, Summary, Variant
from regtopk_bench.results.summary import Estimate, Group, groups

COUNTS = (Column("runs", "n", hidden=True), Column("failed", "failed", hidden=True))
"""Over how many runs the means of a row are, and how many others diverged or failed."""


def by_density(result: Result) -> list[list[Group]]:
    """Return the groups of each density, and those without one, in order of appearance."""
    sections: dict[float | None, list[Group]] = {}
    for group in groups(result.runs):
        density = group.density if group.has_density else None
        sections.setdefault(density, []).append(group)
    return list(sections.values())


def naming(group: Group, label: Label) -> list[Entry]:
    """Return the entries that name a row's configuration."""
    return [Entry(str(label)), density_entry(group)]


def density_entry(of: Group | Variant) -> Entry:
    """Return the density that a configuration was given; programs get 1 where it was given none."""
    return Entry(f"{of.density:g}" if of.has_density else "–", of.density)


def mean_columns(heading: str, key: str, spare: int = 0) -> list[Column]:
    """Return the column of a mean, and that of its interval for programs."""
    return [Column(heading, key, spare=spare), Column("", f"{key}_half_width", hidden=True)]


def mean_entries(text: str, value: Estimate) -> list[Entry]:
    """Return a mean as people read it, and the half-width of its interval; empty if unknown."""
    return [Entry(text, raw(value.mean)), Entry("", raw(value.half_width))]


def whole(value: Estimate) -> str:
    """Return a mean without decimal places."""
    return f"{value.mean:.0f}" if math.isfinite(value.mean) else "–"


def raw(value: float | None) -> float | str:
    """Return a number for CSV; nothing for one that is unknown or not finite."""
    return "" if value is None or not math.isfinite(value) else value


def outcome(group: Group, value: Estimate, scale: float = 1.0) -> list[Entry]:
    """Return a mean with its interval, or the round in which runs diverged or failed."""
    return mean_entries(_outcome(group, value.times(scale)), value)


def cost_columns(unit: str, target: str, projected: bool) -> list[Column]:
    """Return the columns of what it takes to reach the target, and of what a round costs.

    Args:
        unit: Of the bytes until the target.
        target: What should be reached.
        projected: Whether there are times on a network.
    """
    on_a_network = [
        *mean_columns(f"projected\ns to {target}", PROJECTED_TO_TARGET),
        Column("", PROJECTED_PER_ROUND, hidden=True),
        Column("", f"{PROJECTED_PER_ROUND}_half_width", hidden=True),
    ]
    return [
        *mean_columns(f"rounds\nto {target}", ROUNDS_TO_TARGET, spare=1),
        *mean_columns("kB/round\nup/down", SENT_PER_ROUND, spare=3),
        Column("", RECEIVED_PER_ROUND, hidden=True),
        Column("", f"{RECEIVED_PER_ROUND}_half_width", hidden=True),
        *mean_columns(f"{unit} to\n{target}", SENT_TO_TARGET, spare=2),
        *(on_a_network if projected else []),
    ]


def cost_entries(of: Summary, in_bytes: float) -> list[Entry]:
    """Return the entries of these columns, of means over the runs that count.

    Where a run diverged or failed, people see none: the others alone would look cheap. Programs get
    their means, and `COUNTS`.

    Args:
        of: The runs.
        in_bytes: The unit of the bytes until the target; programs get bytes.
    """
    rounds, sent = of.metrics[ROUNDS_TO_TARGET], of.metrics[SENT_TO_TARGET]
    up, down = of.metrics[SENT_PER_ROUND], of.metrics[RECEIVED_PER_ROUND]
    texts = [
        whole(rounds),
        f"{up.mean / 1e3:.3g}/{down.mean / 1e3:.3g}" if math.isfinite(up.mean + down.mean) else "–",
        f"{sent.mean / in_bytes:.4g}" if math.isfinite(sent.mean) else "–",
    ]
    projected = of.metrics.get(PROJECTED_TO_TARGET)
    reached = projected is not None and math.isfinite(projected.mean)
    texts.append(f"{projected.mean:.3g}" if projected and reached else "–")
    if of.diverged or of.failed:
        texts = ["–"] * len(texts)
    to_reach, each_round, to_send, on_a_network = texts
    entries = [
        *mean_entries(to_reach, rounds),
        *mean_entries(each_round, up),
        *mean_entries("", down),
        *mean_entries(to_send, sent),
    ]
    if projected:
        entries += mean_entries(on_a_network, projected)
        entries += mean_entries("", of.metrics[PROJECTED_PER_ROUND])
    return entries


def unit_to_target(statistics: Statistics, otherwise: float) -> tuple[str, float]:
    """Return the unit of the bytes until the target: that of the most of them.

    Args:
        statistics: The means.
        otherwise: A number of bytes whose unit it is where no configuration reached the target.
    """
    sent = [each.metrics[SENT_TO_TARGET].mean for each in statistics.summary]
    return byte_unit(max(filter(math.isfinite, sent), default=otherwise))


def count_entries(of: Summary) -> list[Entry]:
    """Return the entries of `COUNTS`."""
    return [Entry("", len(of.seeds)), Entry("", of.diverged + of.failed)]


def _outcome(group: Group, value: Estimate) -> str:
    failures = group.failures
    if failures:
        rounds = min(int(run.metrics["rounds"]) for run in failures)
        share = "" if len(failures) == len(group.runs) else f"{len(failures)}/{len(group.runs)} "
        how = "diverged" if all(run.status == "diverged" for run in failures) else "failed"
        return f"{share}{how} @{rounds + 1}"
    return number(value, places=2)
