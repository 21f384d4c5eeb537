from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats

from regtopk_bench.results import Result, Run, store
from regtopk_bench.results.measures import (
    FINAL_ACCURACY,
    LOG10_GAP,
    LOG10_SENT_TO_TARGET,
    RECEIVED_PER_ROUND,
    ROUNDS_TO_TARGET,
    SENT_PER_ROUND,
    SENT_TO_TARGET,
)
from regtopk_bench.results.paired import seeds_needed
from regtopk_bench.results.statistics import Comparison, Family, Statistics, statistics_of
from tests.results.samples import LINREG, RECIPE, result, run

LOGS = {
    "topk": [-2.0, -2.5, -2.1, -2.2, -1.9],
    "regtopk": [-3.0, -2.4, -3.3, -2.9, -2.0],
    "randomk": [-9.0, -9.4, -8.1, -9.9, -9.2],
}
"""log10 of the last gap, by seed."""


def runs(algorithm: str, logs: Sequence[float], first: int = 0, **changes: Any) -> list[Run]:
    return [
        run(algorithm, seed, gaps=[1.0, 10.0**log], **changes)
        for seed, log in enumerate(logs, first)
    ]


def all_runs(logs: Mapping[str, Sequence[float]] = LOGS) -> list[Run]:
    return [each for name, values in logs.items() for each in runs(name, values)]


def statistics(of: Sequence[Run], **settings: Any) -> Statistics:
    return statistics_of(result(of, **settings))


def pairs(found: Statistics, family: Family = "density") -> dict[tuple[str, str], Comparison]:
    return {(each.first.label, each.second.label): each for each in found.pairs(LOG10_GAP, family)}


def test_means_are_those_of_scipy() -> None:
    found = {each.label: each.metrics[LOG10_GAP] for each in statistics(all_runs()).summary}
    assert found.keys() == LOGS.keys()
    for name, values in LOGS.items():
        low, high = scipy.stats.t.interval(0.95, 4, np.mean(values), scipy.stats.sem(values))
        mean, half_width = found[name].mean, found[name].half_width or 0.0
        assert (mean - half_width, mean + half_width) == pytest.approx((low, high))
        assert found[name].n == 5


def test_every_pair_is_compared_and_corrected_for_their_number() -> None:
    found = pairs(statistics(all_runs()))
    assert list(found) == [("regtopk", "topk"), ("randomk", "topk"), ("randomk", "regtopk")]
    p = {}
    for (first, second), each in found.items():
        expected = scipy.stats.ttest_rel(LOGS[first], LOGS[second])
        low, high = expected.confidence_interval(0.95)
        differences = np.subtract(LOGS[first], LOGS[second])
        p[first, second] = expected.pvalue
        assert each.p == pytest.approx(expected.pvalue)
        assert each.p_wilcoxon == pytest.approx(scipy.stats.wilcoxon(differences).pvalue)
        assert each.difference.mean == pytest.approx(differences.mean())
        half_width = each.difference.half_width or 0.0
        assert each.difference.mean - half_width == pytest.approx(low)
        assert each.difference.mean + half_width == pytest.approx(high)
        assert (each.difference.n, each.tests) == (5, 3)
    ordered = sorted(p, key=p.__getitem__)
    corrected = [
        min(1.0, factor * p[each]) for factor, each in zip((3, 2, 1), ordered, strict=True)
    ]
    corrected = list(itertools.accumulate(corrected, max))
    assert [found[each].p_corrected for each in ordered] == pytest.approx(corrected)


def test_what_is_found_says_which_is_better_and_what_is_open_how_many_seeds_it_needs() -> None:
    found = pairs(statistics(all_runs()))
    assert {names: each.finding for names, each in found.items()} == {
        ("regtopk", "topk"): "open",
        ("randomk", "topk"): "first",
        ("randomk", "regtopk"): "first",
    }
    needed = {names: each.seeds_needed for names, each in found.items()}
    differences = np.subtract(LOGS["regtopk"], LOGS["topk"])
    assert needed[("regtopk", "topk")] == seeds_needed(differences, 0.05 / 3)
    assert [needed[names] for names in list(found)[1:]] == [None, None]


def test_a_larger_accuracy_is_better_and_a_smaller_gap() -> None:
    images = [
        run(name, seed, problem={"workload": "cifar"}, traces={"accuracy": [0.0, 0.0, accuracy]})
        for name, value in (("topk", 0.1), ("regtopk", 0.6))
        for seed, accuracy in enumerate(value + np.array([0.0, 0.02, 0.05]) * (1 + value))
    ]
    found = statistics_of(result(images, "cifar"))
    (pair,) = found.pairs(FINAL_ACCURACY, "density")
    assert (pair.first.label, pair.finding) == ("regtopk", "first")


def test_dense_is_compared_with_each_sparsifier_and_corrected_for_apart() -> None:
    logs = {"dense": [-8.0, -8.5, -8.2, -8.1, -8.4], **LOGS}
    found = statistics(all_runs(logs))
    assert {each.tests for each in pairs(found).values()} == {3}
    against = pairs(found, "reference")
    assert list(against) == [(name, "dense") for name in LOGS]
    assert [each.finding for each in against.values()] == ["second", "second", "first"]
    assert {each.tests for each in against.values()} == {3}


def test_a_bound_that_no_system_reaches_is_compared_with_nothing() -> None:
    found = statistics([*all_runs(), *runs("oracle", [-20.0, -21.0, -22.0, -20.5, -19.9])])
    assert list(pairs(found)) == list(pairs(statistics(all_runs())))
    assert [each.label for each in found.summary if not each.achievable] == ["oracle"]


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_an_algorithm_that_failed_once_is_compared_with_nothing(status: str) -> None:
    """On the seeds that it survived it may be good, which would favour it."""
    recipe = {"recipe": RECIPE | {"rounds": 2}}
    failing = runs("pkg.Mine", [-30.5], 2, status=status, **recipe)
    found = statistics([*all_runs(), *runs("pkg.Mine", [-30.0, -31.0]), *failing])
    assert not any("Mine" in each.first.label for each in found.comparisons)
    (mine,) = (each for each in found.summary if each.label == "Mine")
    assert (mine.finished, mine.diverged + mine.failed) == (2, 1)


@pytest.mark.parametrize("gap", [math.nan, math.inf])
def test_an_algorithm_without_a_finite_gap_is_compared_with_nothing(gap: float) -> None:
    odd = [*runs("pkg.Mine", [-30.0, -31.0]), run("pkg.Mine", 2, gaps=[1.0, gap])]
    found = statistics([*all_runs(), *odd])
    assert list(pairs(found)) == list(pairs(statistics(all_runs())))
    mine = next(each for each in found.summary if each.label == "Mine")
    assert math.isnan(mine.metrics[LOG10_GAP].mean)
    assert (mine.metrics[LOG10_GAP].n, mine.finished) == (2, 3)


def test_runs_that_were_stopped_are_left_out() -> None:
    recipe = {"recipe": RECIPE | {"rounds": 2}}
    stopped = [run("topk", 9, gaps=[1.0], status="stopped", **recipe)]
    found = statistics([*all_runs(), *stopped])
    topk = next(each for each in found.summary if each.label == "topk")
    assert (topk.seeds, topk.finished, topk.stopped) == ([0, 1, 2, 3, 4], 5, 1)
    assert topk.metrics[LOG10_GAP].n == 5
    only = statistics([*all_runs(), *[run("pkg.Mine", 0, gaps=[1.0], status="stopped", **recipe)]])
    assert len(only.comparisons) == len(found.comparisons)
    assert only.summary[-1].metrics[LOG10_GAP].mean == 0.0


def test_pairs_are_of_the_seeds_that_both_have() -> None:
    found = pairs(statistics([*runs("topk", LOGS["topk"]), *runs("regtopk", LOGS["regtopk"], 2)]))
    expected = scipy.stats.ttest_rel(LOGS["regtopk"][:3], LOGS["topk"][2:])
    (pair,) = found.values()
    assert pair.difference.n == 3
    assert pair.p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("first", [0, 1, 7])
def test_fewer_than_two_seeds_in_common_decide_nothing(first: int) -> None:
    found = statistics([*runs("topk", [-2.0]), *runs("regtopk", [-9.0, -9.1], first)])
    (pair,) = pairs(found).values()
    assert (pair.finding, pair.tests, pair.seeds_needed) == ("open", 0, None)
    assert math.isnan(pair.p)
    assert math.isnan(pair.p_corrected)
    assert pair.difference.n == (first == 0)


def test_the_same_runs_are_found_to_be_the_same_whatever_they_sent() -> None:
    alike = [*runs("topk", LOGS["topk"]), *runs("regtopk", LOGS["topk"], coordination=8)]
    (pair,) = pairs(statistics(alike)).values()
    assert (pair.finding, pair.p, pair.difference.mean) == ("same", 1.0, 0.0)
    (one,) = pairs(statistics([*runs("topk", [-2.0]), *runs("regtopk", [-2.0])])).values()
    assert one.finding == "same"


def test_runs_that_end_alike_after_another_course_are_not_the_same() -> None:
    other = [run("regtopk", seed, gaps=[2.0, 10.0**log]) for seed, log in enumerate(LOGS["topk"])]
    (pair,) = pairs(statistics([*runs("topk", LOGS["topk"]), *other])).values()
    assert (pair.finding, pair.p, pair.seeds_needed) == ("open", 1.0, None)


@pytest.mark.parametrize("seeds", [2, 7])
def test_seeds_that_change_nothing_are_worth_one(seeds: int) -> None:
    alike = [*runs("topk", [-2.0] * seeds), *runs("regtopk", [-3.0] * seeds)]
    varied = runs("randomk", [-9.0 - 0.1 * seed for seed in range(seeds)])
    found = pairs(statistics([*alike, *varied]))
    pair = found["regtopk", "topk"]
    assert (pair.finding, pair.seeds_needed, pair.difference.n) == ("open", None, seeds)
    assert math.isnan(pair.p)
    assert math.isnan(pair.p_corrected)
    assert pair.difference.half_width is None
    assert found["randomk", "topk"].finding == "first"
    assert found["randomk", "topk"].tests == 2


def test_p_of_a_difference_that_happens_to_be_the_same_is_of_its_sign() -> None:
    found = statistics([*runs("topk", [-2.0, -1.0, -3.0]), *runs("regtopk", [-3.0, -2.0, -4.0])])
    (pair,) = pairs(found).values()
    assert (pair.finding, pair.p, pair.seeds_needed) == ("open", 0.25, 6)
    assert (pair.difference.mean, pair.difference.half_width) == (-1.0, None)


def test_a_gap_of_zero_is_the_smallest_but_decides_nothing_by_its_size() -> None:
    exact = [run("regtopk", seed, gaps=[1.0, gap]) for seed, gap in enumerate((0.0, 1e-3, 1e-2))]
    (pair,) = pairs(statistics([*runs("topk", [-2.0, -2.5, -2.1]), *exact])).values()
    assert math.isfinite(pair.difference.mean)
    assert pair.finding == "open"


@pytest.mark.parametrize(
    "other",
    [
        {"problem": LINREG | {"dim": 5}},
        {"recipe": RECIPE | {"momentum": 0.9}},
        {"scope": "layer"},
        {"density": 0.25},
    ],
)
def test_nothing_is_compared_across_problems_recipes_scopes_or_densities(other: Any) -> None:
    found = statistics([*runs("topk", LOGS["topk"]), *runs("regtopk", LOGS["regtopk"], **other)])
    assert pairs(found) == {}


def test_a_density_and_the_k_that_it_comes_to_are_compared() -> None:
    topk = runs("topk", LOGS["topk"], density=0.25)
    (pair,) = pairs(statistics([*topk, *runs("regtopk", LOGS["regtopk"], k=1)])).values()
    assert pair.difference.n == 5


def test_configurations_of_one_algorithm_are_compared_too() -> None:
    ours = [each for mu in (4.0, 8.0) for each in runs("regtopk", LOGS["topk"], mu=mu)]
    (names,) = pairs(statistics(ours))
    assert names == ("regtopk:mu=8", "regtopk:mu=4")


def reaching(algorithm: str, density: float, rounds: Sequence[int], sent: int) -> list[Run]:
    """Return runs of 60 rounds that reach a gap of 0.1 in these, sending so many bytes a round."""
    found = []
    for seed, at in enumerate(rounds):
        gaps = [1.0] * (at - 1) + [0.05] * (61 - at)
        made = run(algorithm, seed, gaps=gaps, density=density)
        traces = made.traces | {"uplink_bytes": [2 * sent] * 60}
        metrics = made.metrics | {"uplink_bytes": 120 * sent}
        found.append(made.model_copy(update={"traces": traces, "metrics": metrics}))
    return found


def test_bytes_until_the_target_are_compared_across_densities() -> None:
    found = statistics(
        [
            *reaching("dense", 1.0, [20, 22, 21], 1000),
            *reaching("topk", 0.5, [25, 24, 28], 100),
            *reaching("topk", 0.1, [40, 39, 47], 20),
        ],
        target=0.1,
    )
    compared = found.pairs(LOG10_SENT_TO_TARGET, "all")
    assert [(pair.first.density, pair.second.density) for pair in compared] == [
        (0.5, 1.0),
        (0.1, 1.0),
        (0.1, 0.5),
    ]
    ratios = np.log10([[25 * 100, 24 * 100, 28 * 100], [20_000, 22_000, 21_000]])
    expected = scipy.stats.ttest_rel(*ratios)
    assert compared[0].p == pytest.approx(expected.pvalue)
    assert 10.0 ** compared[0].difference.mean == pytest.approx(
        scipy.stats.gmean([25 * 100 / 20_000, 24 * 100 / 22_000, 28 * 100 / 21_000])
    )
    dense = found.summary[0].metrics
    assert dense[ROUNDS_TO_TARGET].mean == 21.0
    assert dense[SENT_TO_TARGET].mean == 21_000.0
    assert (dense[SENT_PER_ROUND].mean, dense[RECEIVED_PER_ROUND].mean) == (1000.0, 32.0)


def test_rounds_that_are_equal_by_their_coarseness_are_not_certain() -> None:
    close = [*reaching("topk", 0.5, [2, 3, 4], 100), *reaching("topk", 0.1, [2, 3, 4], 90)]
    (pair,) = statistics(close, target=0.1).pairs(LOG10_SENT_TO_TARGET, "all")
    least = np.mean(np.log10([2 / 1, 3 / 2, 4 / 3])) / math.sqrt(6.0)
    t = math.log10(100 / 90) * math.sqrt(3) / least
    assert pair.p == pytest.approx(2 * scipy.stats.t.sf(t, 2))
    assert pair.finding == "open"


def test_who_did_not_reach_the_target_on_every_seed_is_not_compared_by_its_cost() -> None:
    missing = run("topk", 2, gaps=[1.0] * 60)
    some = [*reaching("topk", 0.5, [25, 24], 100), missing]
    found = statistics([*reaching("dense", 1.0, [20, 22], 1000), *some], target=0.1)
    (topk,) = (each for each in found.summary if each.label == "topk")
    assert (topk.metrics[ROUNDS_TO_TARGET].n, topk.finished) == (2, 3)
    assert found.pairs(LOG10_SENT_TO_TARGET, "all") == []


def test_the_statistics_are_written_and_computed_anew_when_read() -> None:
    measured = result(all_runs(), target=1e-2)
    content = json.loads(store.dump(measured))
    assert (
        Statistics.model_validate(
            {name: content[name] for name in ("summary", "comparisons")}
        ).model_dump_json()
        == statistics_of(measured).model_dump_json()
    )
    content["summary"], content["comparisons"] = [{"label": "made up"}], "nonsense"
    restored = Result.model_validate(content)
    assert store.dump(restored) == store.dump(measured)


def test_those_of_a_program_of_ones_own_are_of_what_it_recorded() -> None:
    found = statistics_of(result(all_runs(), "library"))
    assert pairs(found) == pairs(statistics(all_runs()))
    assert set(found.summary[0].metrics) == {LOG10_GAP, SENT_PER_ROUND}


@pytest.mark.parametrize("command", ["toy", "kernels"])
def test_commands_that_compare_nothing_have_none(command: str) -> None:
    content = json.loads(store.dump(result([], command)))
    assert (content["summary"], content["comparisons"]) == ([], [])


def test_costs_are_known_no_better_than_they_are_counted() -> None:
    same = [*reaching("topk", 0.5, [25, 25, 25], 100), *reaching("dense", 1.0, [20, 22, 21], 100)]
    topk, dense = (each.metrics for each in statistics(same, target=0.1).summary)
    student = float(scipy.stats.t.ppf(0.975, 2))
    assert topk[ROUNDS_TO_TARGET].half_width == pytest.approx(student / math.sqrt(36.0))
    assert topk[SENT_TO_TARGET].half_width == pytest.approx(100 * student / math.sqrt(36.0))
    assert dense[SENT_TO_TARGET].half_width == pytest.approx(100 * student / math.sqrt(3.0))


def test_seeds_that_change_nothing_are_worth_one_however_it_is_counted() -> None:
    same = [*reaching("topk", 0.5, [25, 25, 25], 100), *reaching("topk", 0.1, [30, 30, 30], 10)]
    (pair,) = statistics(same, target=0.1).pairs(LOG10_SENT_TO_TARGET, "all")
    assert math.isnan(pair.p)
    assert (pair.finding, pair.difference.half_width) == ("open", None)


def test_p_too_small_to_compute_is_zero() -> None:
    logs = np.random.default_rng(0).normal(-2.0, 0.5, 200)
    lower = logs - 3.0 + 1e-3 * np.sin(np.arange(200))
    (pair,) = pairs(
        statistics([*runs("topk", logs.tolist()), *runs("regtopk", lower.tolist())])
    ).values()
    assert (pair.p, pair.finding) == (0.0, "first")


def test_two_without_a_density_are_compared_as_with_a_reference() -> None:
    logs = {"dense": LOGS["topk"], "pkg.Threshold": LOGS["randomk"], "pkg.Other": LOGS["regtopk"]}
    sparse = runs("topk", LOGS["regtopk"])
    found = statistics(
        [each for name, own in logs.items() for each in runs(name, own, density=None)] + sparse
    )
    assert pairs(found) == {}
    assert list(pairs(found, "reference")) == [
        ("Threshold", "dense"),
        ("Other", "dense"),
        ("Other", "Threshold"),
        ("topk", "dense"),
        ("topk", "Threshold"),
        ("topk", "Other"),
    ]
    assert {each.tests for each in pairs(found, "reference").values()} == {3}
