"""What is measured of runs of any problem: the last value of each metric, and what was sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from regtopk_bench.results.measures import (
    FINAL_ACCURACY,
    LOG10_GAP,
    SENT_PER_ROUND,
    Better,
    Measure,
    final_accuracy,
    log10_gap,
)
from regtopk_bench.results.schema import Run
from regtopk_bench.results.summary import sent_bytes

_KNOWN = {
    "gap": Measure(LOG10_GAP, log10_gap, "lower"),
    "accuracy": Measure(FINAL_ACCURACY, final_accuracy, "higher"),
}


def recorded_measures(runs: Sequence[Run], better: Mapping[str, Better]) -> list[Measure]:
    """Return a measure of each metric that any of the runs recorded, and of the bytes sent.

    Args:
        runs: Training runs.
        better: Which values of a metric are better, where its name does not tell.
    """
    names = dict.fromkeys(name for run in runs for name in run.final)
    which: dict[str, Better] = {"loss": "lower", **better}
    return [
        *(
            _KNOWN.get(name) or Measure(name, partial(_last, name), which.get(name))
            for name in names
        ),
        Measure(SENT_PER_ROUND, _sent_per_round),
    ]


def _last(name: str, run: Run) -> float:
    return float(run.metrics.get(name, math.nan))


def _sent_per_round(run: Run) -> float:
    sent = sent_bytes(run)
    return float(sent.mean()) if len(sent) else 0.0
