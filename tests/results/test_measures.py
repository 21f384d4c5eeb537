"""What is measured of runs, where other files do not look."""

from __future__ import annotations

import pytest

from regtopk_bench.results.measures import PROJECTED_PER_ROUND
from regtopk_bench.results.statistics import statistics_of
from tests.results.samples import LINREG, result, run

SENT = ("uplink_bytes", "downlink_bytes", "coordination_bytes")


@pytest.mark.parametrize(("processes", "hosted"), [(1, 5), (2, 2), (3, 1), (4, 1), (5, 1)])
def test_times_are_those_of_the_workers_that_the_first_process_hosts(
    processes: int, hosted: int
) -> None:
    """Of 5 workers over 4 processes it hosts one; the last hosts two."""
    five = LINREG | {"workers": 5}
    several = run(problem=five, metrics={"workers": 5}, traces={name: [0.0] * 3 for name in SENT})
    several.execution.update(
        processes=processes, gradient_seconds=2.0, sparsify_seconds=1.0, update_seconds=0.6
    )
    (summary,) = statistics_of(result([several], target=0.1, network="1gbit:0s")).summary
    expected = (3.0 / hosted + 0.6) / 3
    assert summary.metrics[PROJECTED_PER_ROUND].mean == pytest.approx(expected)
