"""What the rows of convergence and image tables share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from regtopk_bench.report.table import Entry
from regtopk_bench.results.labels import Label
from regtopk_bench.results.schema import Result
from regtopk_bench.results.summary import Estimate, Group, groups, mean_if_all, sent_bytes_to


def by_density(result: Result) -> list[list[Group]]:
    """Return the groups of each density, in order of appearance."""
    sections: dict[float, list[Group]] = {}
    for group in groups(result.runs):
        sections.setdefault(group.density, []).append(group)
    return list(sections.values())


def naming(group: Group, label: Label) -> list[Entry]:
    """Return the entries that name a row's configuration."""
    return [Entry(str(label)), Entry(f"{group.density:g}", group.density)]


def outcome(group: Group, value: Estimate, digits: int = 2) -> Entry:
    """Return a mean with its interval, or the round in which runs diverged or failed."""
    return Entry(_outcome(group, value, digits), value.mean)


def cost_of_target(
    group: Group, reached: Sequence[int | None], unit: float, digits: int
) -> list[Entry]:
    """Return the rounds until a target is reached, and what a worker has sent by then.

    Args:
        group: The runs.
        reached: The round in which each of them reached it, or None.
        unit: Unit of the text, in bytes; programs get bytes.
        digits: Significant digits of the text.
    """
    rounds = mean_if_all(reached)
    sent = mean_if_all(
        [sent_bytes_to(run, count) for run, count in zip(group.runs, reached, strict=True)]
    )
    return [
        Entry("–", "") if rounds is None else Entry(f"{rounds:.0f}", rounds),
        Entry("–", "") if sent is None else Entry(f"{sent / unit:.{digits}g}", sent),
    ]


def _outcome(group: Group, value: Estimate, digits: int) -> str:
    failures = group.failures
    if failures:
        rounds = min(int(run.metrics["rounds"]) for run in failures)
        share = "" if len(failures) == len(group.runs) else f"{len(failures)}/{len(group.runs)} "
        how = "diverged" if all(run.status == "diverged" for run in failures) else "failed"
        return f"{share}{how} @{rounds + 1}"
    if not math.isfinite(value.mean):
        return "–"
    spread = "" if value.half_width is None else f"±{value.half_width:.{digits}f}"
    return f"{value.mean:.{digits}f}{spread}"
