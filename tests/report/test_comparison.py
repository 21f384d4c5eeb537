from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from regtopk_bench.report.comparison import comparison_table
from regtopk_bench.results import Run
from regtopk_bench.results.summary import groups
from tests.results.samples import LINREG, RECIPE, run


def rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    measures = {"gap": lambda run: run.metrics["gap"]}
    table = comparison_table(groups(runs), "", "negative: closer", measures, 1)
    return list(csv.DictReader(io.StringIO(table.csv()))) if table else []


def both(gap: float, **changes: object) -> list[Run]:
    """Return RegTop-k, which reaches a gap, and Top-k, which reaches 1, on two seeds."""
    return [
        run(algorithm, seed, gaps=[reached + seed * reached], **changes)  # type: ignore[arg-type]
        for algorithm, reached in (("regtopk", gap), ("topk", 1.0))
        for seed in (0, 1)
    ]


def test_each_density_is_compared_with_its_own() -> None:
    found = rows([*both(3.0, density=0.5), *both(5.0, density=0.25), *both(9.0, k=1)])
    assert [(row["density"], float(row["difference"])) for row in found] == [
        ("0.5", 3.0),
        ("0.25", 6.0),
        ("0.25", 12.0),
    ]


def test_each_configuration_of_regtopk_has_a_row() -> None:
    topk = [run("topk", seed, gaps=[1.0]) for seed in (0, 1)]
    ours = [run("regtopk", seed, gaps=[mu], mu=mu) for mu in (4.0, 8.0) for seed in (0, 1)]
    found = rows([*topk, *ours])
    assert [(row["algorithm"], float(row["difference"])) for row in found] == [
        ("regtopk:mu=4", 3.0),
        ("regtopk:mu=8", 7.0),
    ]


def test_nothing_is_compared_across_problems_recipes_or_scopes() -> None:
    topk = [run("topk", seed) for seed in (0, 1)]
    for other in (
        {"problem": LINREG | {"dim": 5}},
        {"recipe": RECIPE | {"momentum": 0.9}},
        {"scope": "layer"},
        {"density": 0.25},
    ):
        assert rows([*topk, *(run("regtopk", seed, **other) for seed in (0, 1))]) == []  # type: ignore[arg-type]


def test_one_seed_is_not_compared() -> None:
    assert rows([run("topk"), run("regtopk")]) == []
