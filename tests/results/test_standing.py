from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from regtopk_bench.results import Run
from regtopk_bench.results.measures import LOG10_GAP
from regtopk_bench.results.standing import Standing, standings, winners
from regtopk_bench.results.statistics import Statistics, statistics_of
from tests.results.samples import result, run

LOW, MIDDLE, HIGH = [-9.0, -9.4, -8.1], [-5.0, -5.5, -4.8], [-1.0, -1.1, -0.8]
NOISY = [-9.5, -5.0, -1.2]


def made(
    logs: Mapping[str, Sequence[float]], density: float | None = 0.5, **changes: Any
) -> list[Run]:
    return [
        run(name, seed, gaps=[1.0, 10.0**log], density=density, **changes)
        for name, values in logs.items()
        for seed, log in enumerate(values)
    ]


def standing(runs: Sequence[Run]) -> Standing:
    ((_, found),) = standings(statistics_of(result(runs)), LOG10_GAP)
    return found


def best(statistics: Statistics) -> set[tuple[str, float]]:
    keys = winners(statistics, LOG10_GAP)
    return {(each.label, each.density) for each in statistics.summary if each.group in keys}


def test_a_winner_beats_every_other() -> None:
    found = standing(made({"topk": HIGH, "randomk": LOW, "regtopk": MIDDLE}))
    assert [each.label for each in found.leaders] == ["randomk"]
    assert [(each.by.label, each.loser.label) for each in found.beaten] == [
        ("randomk", "regtopk"),
        ("randomk", "topk"),
    ]
    assert [each.label for each in found.winners] == ["randomk"]


def test_the_lowest_mean_alone_is_no_winner() -> None:
    found = standing(made({"topk": HIGH, "randomk": NOISY, "regtopk": MIDDLE}))
    assert {each.label for each in found.leaders} == {"randomk", "regtopk"}
    assert [(each.by.label, each.loser.label) for each in found.beaten] == [("regtopk", "topk")]
    assert found.winners == ()
    assert len(found.open) == 1


def test_those_that_made_the_same_runs_win_together() -> None:
    found = standing(made({"topk": LOW, "randomk": HIGH, "regtopk": LOW}))
    assert [each.label for each in found.leaders] == ["topk"]
    assert [[each.label for each in alike] for alike in found.same] == [["topk", "regtopk"]]
    assert [each.label for each in found.winners] == ["topk", "regtopk"]


def test_nobody_wins_where_all_made_the_same_runs() -> None:
    assert standing(made({"topk": LOW, "regtopk": LOW})).winners == ()


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_seed_has_no_winner(seeds: int) -> None:
    logs = {name: values[:seeds] for name, values in (("topk", HIGH), ("randomk", LOW))}
    assert bool(standing(made(logs)).winners) == (seeds == 2)


def test_neither_the_oracle_nor_dense_wins_at_a_density() -> None:
    logs = {"oracle": [-20.0, -20.3, -21.0], "dense": [-19.0, -19.8, -20.5]}
    runs = made({**logs, "topk": HIGH, "regtopk": MIDDLE})
    assert best(statistics_of(result(runs))) == {("regtopk", 0.5)}


def test_each_density_has_its_own() -> None:
    runs = [*made({"topk": HIGH, "regtopk": LOW}), *made({"topk": LOW, "regtopk": HIGH}, 0.25)]
    assert best(statistics_of(result(runs))) == {("regtopk", 0.5), ("topk", 0.25)}


def test_who_beats_whom_need_not_be_an_order() -> None:
    """Over different seeds, each of three may beat the next."""
    runs = []
    for one, other, first in (
        ("topk", "regtopk", 0),
        ("regtopk", "randomk", 3),
        ("randomk", "topk", 6),
    ):
        for seed in range(3):
            low, high = -9.0 - 0.1 * seed**2, -1.0 - 0.2 * seed
            runs += [
                run(one, first + seed, gaps=[1.0, 10.0**low]),
                run(other, first + seed, gaps=[1.0, 10.0**high]),
            ]
    found = standing(runs)
    assert found.leaders == ()
    assert found.winners == ()
    assert len(found.beaten) == 3


def test_what_is_not_compared_has_a_standing_of_its_own() -> None:
    whole = made({"topk": HIGH, "regtopk": LOW}, scope="global")
    layers = made({"topk": LOW, "regtopk": HIGH, "randomk": MIDDLE}, scope="layer")
    found = standings(statistics_of(result([*whole, *layers])), LOG10_GAP)
    assert [density for density, _ in found] == [0.5, 0.5]
    assert [[each.label for each in one.leaders] for _, one in found] == [
        ["regtopk:scope=global"],
        ["topk:scope=layer"],
    ]
    assert [len(one.beaten) for _, one in found] == [1, 2]


def test_there_is_no_standing_without_a_density() -> None:
    runs = made({"dense": HIGH, "pkg.Threshold": LOW}, density=None)
    assert standings(statistics_of(result(runs)), LOG10_GAP) == []
    assert best(statistics_of(result(runs))) == set()
