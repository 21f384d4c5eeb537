"""Columns for compact messages: what an entry takes, beside the least that its index can."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from regtopk_bench.report.rows import mean_columns, mean_entries, raw
from regtopk_bench.report.table import Column, Entry
from regtopk_bench.results.schema import Run
from regtopk_bench.results.summary import Group, estimate, kept_entries

NOTE = (
    "bits/entry of a message: index, value and checksum; log2 C(J,k)/k: of an index, at least, if "
    "all selections are as likely"
)


def is_compact(everything: Sequence[Group]) -> bool:
    """Tell whether any message is written otherwise than as coordinates, of which all is known."""
    return any("encoding" in group.cell.recipe for group in everything)


def bits_columns() -> list[Column]:
    """Return the columns of what an entry takes, and of what its index takes at least."""
    least = Column("log2 C(J,k)\n/k", "index_entropy_bits", spare=5)
    return [*mean_columns("bits/\nentry", "bits_per_entry", spare=6), least]


def bits_entries(group: Group) -> list[Entry]:
    """Return the entries of these columns; nothing where workers send different numbers."""
    found = estimate(np.array([_bits(run) for run in group.counted.values()]))
    least = _entropy(group.runs[0])
    shown = f"{found.mean:.4g}" if math.isfinite(found.mean) else "–"
    return [
        *mean_entries(shown, found),
        Entry(f"{least:.4g}" if math.isfinite(least) else "–", raw(least)),
    ]


def _bits(run: Run) -> float:
    k, metrics = kept_entries(run), run.metrics
    if k is None or not metrics["rounds"]:
        return math.nan
    return 8.0 * metrics["uplink_bytes"] / (metrics["rounds"] * metrics["workers"] * k)


def _entropy(run: Run) -> float:
    """Return log2 C(J, k)/k."""
    k = kept_entries(run)
    if k is None:
        return math.nan
    dim = run.metrics["parameters"]
    ways = math.lgamma(dim + 1) - math.lgamma(k + 1) - math.lgamma(dim - k + 1)
    return ways / math.log(2) / k
