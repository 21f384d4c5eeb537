from __future__ import annotations

from collections.abc import Sequence

from regtopk_bench.report.comparison import comparison_table
from regtopk_bench.report.table import Table
from regtopk_bench.results import Run
from regtopk_bench.results.measures import LOG10_GAP
from regtopk_bench.results.statistics import statistics_of
from tests.results.samples import result, run


def table(runs: Sequence[Run]) -> Table | None:
    return comparison_table(statistics_of(result(runs)), "", {"gap": LOG10_GAP}, 10.0, ["a note"])


def both(log: float, **changes: float) -> list[Run]:
    """Return Top-k, which reaches a gap of about 0.1, and RegTop-k, which reaches another."""
    return [
        run(name, seed, gaps=[10.0 ** (reached - seed * (0.1 + reached / 10))], **changes)  # type: ignore[arg-type]
        for name, reached in (("topk", -1.0), ("regtopk", log))
        for seed in (0, 1)
    ]


def test_each_pair_has_a_row_below_its_density() -> None:
    found = table([*both(-3.0, density=0.5), *both(-5.0, density=0.25)])
    assert found is not None
    texts = [[entry.text for entry in row.entries[:5]] for row in found.rows]
    assert texts == [
        ["regtopk", "topk", "0.5", "gap", "-19±13"],
        ["regtopk", "topk", "0.25", "gap", "-38±25"],
    ]
    assert found.notes == ["a note"]
    assert [row.section_ends for row in found.rows] == [True, True]


def test_there_is_no_table_of_one_seed() -> None:
    assert table([run("topk"), run("regtopk")]) is None


def test_there_is_no_table_of_seeds_that_change_nothing() -> None:
    logs = (("topk", 0.1), ("regtopk", 0.01))
    assert table([run(name, seed, gaps=[gap]) for name, gap in logs for seed in (0, 1)]) is None


def test_p_that_is_too_small_has_a_bound() -> None:
    noisy = [
        run(name, seed, gaps=[10.0 ** (log + 0.001 * (seed % (3 + number)))])
        for number, (name, log) in enumerate((("topk", -1.0), ("regtopk", -5.0)))
        for seed in range(200)
    ]
    found = table(noisy)
    assert found is not None
    assert [entry.text for entry in found.rows[0].entries[5:7]] == ["<1e-300", "<1e-300"]
