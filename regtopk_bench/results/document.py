"""A result as it is written: what was measured, and what that says over the seeds."""

from __future__ import annotations

from pydantic import Field

from regtopk_bench.results.schema import Result
from regtopk_bench.results.statistics import Comparison, Summary, statistics_of


class Document(Result):
    """A result with its statistics.

    They follow from the runs: whoever reads a result for this package reads `Result` alone, and
    computes them anew.
    """

    summary: list[Summary] = Field(default_factory=list)
    """Means over seeds, for every configuration; none for commands that compare nothing."""

    comparisons: list[Comparison] = Field(default_factory=list)
    """Which differences between configurations are more than chance, paired by seed."""


def document(result: Result) -> Document:
    """Return a result with its statistics."""
    found = statistics_of(result)
    statistics = {"summary": found.summary, "comparisons": found.comparisons}
    return Document(**{**dict(result), **statistics})
