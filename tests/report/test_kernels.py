"""Tables of timed kernels."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench.report.kernels import kernels_tables, noise
from regtopk_bench.results import KernelCell, Run
from tests.results.samples import result

LIMIT = [0.001, 0.001, 0.001, 0.001]


def timed(
    operation: str = "step",
    implementation: str = "numba",
    case: str = "",
    *,
    seconds: Sequence[float] = (0.002, 0.002, 0.002, 0.002),
    limit: Sequence[float] = LIMIT,
    topk: Sequence[float] = (0.02, 0.02, 0.02, 0.02),
    dim: int = 1_000_000,
    density: float = 0.01,
    threads: int | None = 2,
    misses: int = 0,
    exact: int = 1,
) -> Run:
    problem = {"distribution": "normal", "dim": dim, "density": density, "dtype": "float32"}
    return Run(
        cell=KernelCell(
            problem={**problem, "device": "cpu" if threads else "cuda", "threads": threads},
            candidate={"operation": operation, "implementation": implementation, "case": case},
        ),
        status="finished",
        metrics={"moved_bytes": 12 * dim, "memory_limit_bytes": 12 * dim, "exact": exact},
        traces={
            "seconds": list(seconds),
            "memory_limit_seconds": list(limit),
            "topk_seconds": list(topk),
        },
        execution={"rounds": len(seconds), "misses": misses},
        environments=[{"gpu": None if threads else "GPU of a test"}],
    )


def rows_of(runs: Sequence[Run]) -> list[dict[str, str]]:
    (table,) = kernels_tables(result(runs, "kernels"))
    return list(csv.DictReader(io.StringIO(table.csv())))


def test_the_memory_limit_is_the_first_row() -> None:
    limit, step = rows_of([timed(case="warm", limit=[0.001, 0.003, 0.001, 0.001])])
    assert limit["candidate"] == "memory limit"
    assert float(limit["median_seconds"]) == 0.001
    assert float(limit["bytes_per_second"]) == pytest.approx(12e9)
    assert float(limit["share_of_memory_limit"]) == 1.0
    assert step["candidate"] == "numba, warm"


def test_ratios_are_of_the_same_repeat_and_leave_out_those_that_were_skipped() -> None:
    _, step = rows_of(
        [timed(seconds=[0.002, 0.004, 0.01, math.nan], limit=[0.001, 0.002, 0.001, 0.001])]
    )
    assert float(step["share_of_memory_limit"]) == pytest.approx(0.5)
    assert float(step["gain_over_topk"]) == pytest.approx(5.0)
    assert float(step["median_seconds"]) == pytest.approx(0.004)


def test_misses_are_shown_where_a_guess_was_to_hold() -> None:
    runs = [timed(case=case, misses=misses) for case, misses in
            (("warm", 0), ("sampled", 0), ("missed", 4), ("", 0))]  # fmt: skip
    (table,) = kernels_tables(result(runs, "kernels"))
    shown = [row.entries[4].text for row in table.rows[1:]]
    assert shown == [
        "numba, warm (0/4)", "numba, sampled", "numba, missed", "numba",
    ]  # fmt: skip
    (table,) = kernels_tables(result([timed(case="sampled", misses=1)], "kernels"))
    assert table.rows[1].entries[4].text == "numba, sampled (1/4)"


def test_torch_topk_is_not_compared_with_itself_and_inexact_ones_are_named() -> None:
    rival = timed(implementation="torch.topk", exact=0)
    (table,) = kernels_tables(result([rival], "kernels"))
    _, row = csv.DictReader(io.StringIO(table.csv()))
    assert (row["gain_over_topk"], row["exact"]) == ("", "no")
    assert any(note.startswith("exact: no") for note in table.notes)


@given(
    st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=9),
    st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=9),
)
def test_a_median_is_shown_within_its_range(seconds: list[float], topk: list[float]) -> None:
    count = min(len(seconds), len(topk))
    runs = [timed(seconds=seconds[:count], topk=topk[:count], limit=[0.001] * count)]
    (table,) = kernels_tables(result(runs, "kernels"))
    for at in (5, 8):
        shown = table.rows[1].entries[at].text.split()
        assert len(shown) == (1 if at == 8 and count < 6 else 3)
        middle, low, high = (float(each.strip("[],")) for each in (shown * 3)[:3])
        assert low <= middle <= high


def test_only_six_repeats_have_an_interval_of_the_gain() -> None:
    few, enough = (timed(seconds=[0.002] * n, limit=[0.001] * n, topk=[0.02] * n) for n in (5, 6))
    (table,) = kernels_tables(result([few], "kernels"))
    assert table.columns[8].line == "× torch.topk"
    assert table.rows[1].entries[8].text == "10.0"
    told = "paired; fewer than 6 repeats have no 95 % interval."
    assert any(str(note).endswith(told) for note in table.notes)
    (table,) = kernels_tables(result([enough], "kernels"))
    assert table.columns[8].line == "× torch.topk [95 %]"
    assert table.rows[1].entries[8].text == "10.0 [10.0, 10.0]"
    assert not any("fewer than" in str(note) for note in table.notes)


def test_programs_get_the_ranges_that_people_see() -> None:
    seconds = [0.001, 0.002, 0.003, 0.004, 0.005, 0.006]
    limit, step = rows_of([timed(seconds=seconds, limit=[0.001] * 6, topk=[0.012] * 6)])
    assert float(step["first_quartile_seconds"]) == pytest.approx(0.00225)
    assert float(step["third_quartile_seconds"]) == pytest.approx(0.00475)
    assert float(step["gain_over_topk_low"]) == pytest.approx(2.0)
    assert float(step["gain_over_topk_high"]) == pytest.approx(12.0)
    assert float(limit["first_quartile_seconds"]) == 0.001
    assert (limit["gain_over_topk_low"], limit["gain_over_topk_high"]) == ("", "")
    *_, few = rows_of([timed()])
    assert (few["gain_over_topk_low"], few["gain_over_topk_high"]) == ("", "")


def test_every_problem_has_a_table_and_says_where_it_was_timed() -> None:
    runs = [timed(dim=dim, threads=threads) for dim, threads in ((1000, 2), (2000, None))]
    titles = [table.title for table in kernels_tables(result(runs, "kernels"))]
    assert titles == [
        "J=1,000, k/J=0.01, normal, float32, cpu, 2 threads",
        "J=2,000, k/J=0.01, normal, float32, GPU of a test",
    ]


def test_only_a_noisy_machine_is_warned_of() -> None:
    assert noise([timed()]) is None
    assert noise([]) is None
    warning = noise([timed(), timed(dim=10, limit=[0.001, 0.001, 0.002, 0.003])])
    assert warning is not None
    assert "noisy machine" in warning
