"""What is said of runs beside their numbers."""

from __future__ import annotations

import pytest

from regtopk_bench.report.notes import slow_exchange
from tests.results import samples


@pytest.mark.parametrize(
    ("processes", "exchange", "computing", "said"),
    [
        (4, 30.0, 0.5, "4 processes took 30 s to exchange messages and 0.5 s to compute: "),
        (4, 30.0, 3.0, None),  # one would compute for 12 s
        (2, 0.9, 0.01, None),  # over in a moment
        (1, 30.0, 0.5, None),
    ],
)
def test_an_exchange_that_is_not_worth_it_is_told(
    processes: int, exchange: float, computing: float, said: str | None
) -> None:
    times = {"gradient": computing / 2, "sparsify": computing / 2, "update": 0.0}
    execution = {f"{phase}_seconds": spent for phase, spent in times.items()}
    execution |= {"exchange_seconds": exchange, "processes": processes}
    run = samples.run().model_copy(update={"execution": execution})
    told = slow_exchange(run)
    assert told == (said and f"{said}one process would take about {processes * computing:g} s")
