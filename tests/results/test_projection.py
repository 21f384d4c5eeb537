"""What a run would take on a network: its own times, and the bytes that it counted."""

from __future__ import annotations

import math

import pytest

from regtopk_bench.network import Network
from regtopk_bench.results import Run
from regtopk_bench.results.measures import PROJECTED_PER_ROUND, PROJECTED_TO_TARGET, measures_of
from regtopk_bench.results.projection import seconds_by_round
from regtopk_bench.results.statistics import statistics_of
from tests.results.samples import LINREG, result, run

# Two workers, hosted by one process, send 24 bytes each and round; 32 bytes come back to each.
LINK = Network.parse("8kbit:1s")  # a byte takes a millisecond
SPENT = {"gradient_seconds": 6.0, "sparsify_seconds": 3.0, "update_seconds": 0.6}
COMPUTING = ((6.0 + 3.0) / 2 + 0.6) / 3


def timed(each: Run, **changes: object) -> Run:
    execution = {"processes": 1, "rounds_per_second": 1.0, "exchange_seconds": 50.0, **SPENT}
    return each.model_copy(update={"execution": execution, **changes})


def test_messages_about_different_entries_are_gathered() -> None:
    assert seconds_by_round(timed(run()), LINK) == pytest.approx([COMPUTING + 1.024] * 3)


def test_what_can_be_added_up_is_reduced() -> None:
    """16 bytes of values: by halves in two steps, or whole in one, which is faster here."""
    found = seconds_by_round(timed(run(), summed_bytes=16), LINK)
    assert found == pytest.approx([COMPUTING + 1.016] * 3)
    quick = Network.parse("8kbit:1us")
    assert seconds_by_round(timed(run(), summed_bytes=16), quick) == pytest.approx(
        [COMPUTING + 0.016] * 3, abs=1e-5
    )


def test_a_server_receives_all_messages_and_sends_the_aggregate() -> None:
    server = Network.parse("8kbit:1s:server")
    expected = COMPUTING + 2.0 + 2 * (24 + 32) * 1e-3
    assert seconds_by_round(timed(run()), server) == pytest.approx([expected] * 3)


def test_agreeing_on_a_selection_comes_first() -> None:
    told = timed(run(coordination=100))
    assert seconds_by_round(told, LINK) == pytest.approx([COMPUTING + 1.024 + 1.1] * 3)
    bound = timed(run("oracle", coordination=100))  # which nobody can build: not counted
    assert seconds_by_round(bound, LINK) == pytest.approx([COMPUTING + 1.024] * 3)


def test_bytes_count_round_by_round() -> None:
    growing = timed(run())
    growing.traces["uplink_bytes"] = [48, 96, 480]
    assert seconds_by_round(growing, LINK) == pytest.approx(
        [COMPUTING + 1.0 + size for size in (0.024, 0.048, 0.24)]
    )


def test_more_processes_compute_for_more_workers_at_a_time() -> None:
    both = timed(run())
    both.execution["processes"] = 2
    assert seconds_by_round(both, LINK)[0] == pytest.approx((6.0 + 3.0 + 0.6) / 3 + 1.024)


@pytest.mark.parametrize(("processes", "hosted"), [(1, 5), (2, 2), (3, 1), (4, 1), (5, 1)])
def test_times_are_those_of_the_workers_that_the_first_process_hosts(
    processes: int, hosted: int
) -> None:
    """Of 5 workers over 4 processes it hosts one; the last hosts two."""
    several = timed(run(problem=LINREG | {"workers": 5}, metrics={"workers": 5}))
    several.execution["processes"] = processes
    fast = Network.parse("1tbit:0s")
    expected = ((6.0 + 3.0) / hosted + 0.6) / 3
    assert seconds_by_round(several, fast) == pytest.approx([expected] * 3)


def test_without_times_nothing_is_known() -> None:
    assert all(map(math.isnan, seconds_by_round(run(), LINK)))


def test_it_is_measured_until_the_target_if_a_network_is_given() -> None:
    runs = [timed(run(gaps=[1.0, 0.1, 0.01])), timed(run("regtopk", gaps=[1.0, 0.5, 0.5]))]
    known = result(runs, target=0.1, network="8kbit:1s")
    reached, not_reached = statistics_of(known).summary
    assert reached.metrics[PROJECTED_PER_ROUND].mean == pytest.approx(COMPUTING + 1.024)
    assert reached.metrics[PROJECTED_TO_TARGET].mean == pytest.approx(2 * (COMPUTING + 1.024))
    assert math.isnan(not_reached.metrics[PROJECTED_TO_TARGET].mean)
    names = {each.name for each in measures_of(result(runs, target=0.1))}
    assert names == {each.name for each in measures_of(known)} - {
        PROJECTED_PER_ROUND,
        PROJECTED_TO_TARGET,
    }
