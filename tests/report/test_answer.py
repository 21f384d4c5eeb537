from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats

from regtopk_bench.report.answer import Wording, answers
from regtopk_bench.report.cost import Target
from regtopk_bench.report.numbers import number
from regtopk_bench.results import Run
from regtopk_bench.results.measures import LOG10_GAP
from regtopk_bench.results.paired import seeds_needed
from regtopk_bench.results.statistics import statistics_of
from regtopk_bench.results.summary import Estimate
from tests.results.samples import RECIPE, result, run

LOGS = {
    "topk": [-2.0, -2.5, -2.1],
    "regtopk": [-3.0, -2.4, -3.3],
    "randomk": [-9.0, -9.4, -8.1],
}
GAP = Wording(LOG10_GAP, "log10 gap", "decades")
HOLM = "p: t-test paired by seed, corrected (Holm) for all pairs at a density"
POWER = (
    "; seeds: how many would show, 4 times in 5, a difference as large and as variable as the one "
    "found"
)


def runs(
    logs: Mapping[str, Sequence[float]],
    density: float | None = 0.5,
    first: int = 0,
    **changes: Any,
) -> list[Run]:
    return [
        run(name, seed, gaps=[1.0, 10.0**log], density=density, **changes)
        for name, values in logs.items()
        for seed, log in enumerate(values, first)
    ]


def told(of: Sequence[Run], target: float | None = None) -> list[str]:
    settings = {} if target is None else {"target": target}
    text = "" if target is None else f"{target:g}"
    return answers(statistics_of(result(of, **settings)), GAP, Target(text, "kB", 1e3))


def only(*names: str) -> dict[str, list[float]]:
    return {name: LOGS[name] for name in names}


def value(logs: Sequence[float]) -> str:
    low, high = scipy.stats.t.interval(0.95, len(logs) - 1, np.mean(logs), scipy.stats.sem(logs))
    return number(Estimate(mean=float(np.mean(logs)), half_width=(high - low) / 2, n=len(logs)))


def p(one: Sequence[float], other: Sequence[float], tests: int) -> float:
    return min(1.0, tests * float(scipy.stats.ttest_rel(one, other).pvalue))


def test_a_winner_is_named_with_the_numbers_and_how_certain_they_are() -> None:
    topk, randomk = LOGS["topk"], LOGS["randomk"]
    assert told(runs(only("topk", "randomk"))) == [
        f"At density 0.5 Random-k (log10 gap {value(randomk)}) beats Top-k ({value(topk)}, "
        f"p = {p(randomk, topk, 1):.2g})",
        HOLM,
    ]


def test_what_cannot_be_told_apart_says_how_many_seeds_it_takes() -> None:
    topk, regtopk = LOGS["topk"], LOGS["regtopk"]
    differences = np.subtract(regtopk, topk)
    needed = seeds_needed(differences, 0.05)
    half_width = scipy.stats.sem(differences) * scipy.stats.t.ppf(0.975, 2)
    assert told(runs(only("topk", "regtopk"))) == [
        f"At density 0.5 no difference between RegTop-k (log10 gap {value(regtopk)}) and Top-k "
        f"({value(topk)}) is distinguishable over 3 seeds ({-differences.mean():.1f}±"
        f"{half_width:.1f} decades, p = {p(regtopk, topk, 1):.2g}); about {needed} seeds would "
        f"show one of {-differences.mean():.2f} decades",
        HOLM + POWER,
    ]


def test_three_are_ordered_as_far_as_they_can_be() -> None:
    first, *_ = told(runs(LOGS))
    by_p = sorted(p(LOGS["randomk"], LOGS[name], 1) for name in ("regtopk", "topk"))
    assert first.startswith(
        f"At density 0.5 Random-k (log10 gap {value(LOGS['randomk'])}) beats RegTop-k ("
    )
    assert all(
        f"p = {factor * each:.2g})" in first for factor, each in zip((3, 2), by_p, strict=True)
    )


def test_who_is_behind_those_that_cannot_be_told_apart() -> None:
    logs = {"regtopk": [-9.2, -8.8, -9.1], "randomk": LOGS["randomk"], "topk": LOGS["topk"]}
    first, *_ = told(runs(logs))
    assert first.startswith("At density 0.5 no difference between RegTop-k (log10 gap ")
    assert "; RegTop-k beats Top-k (" in first


def test_densities_that_say_the_same_share_a_sentence() -> None:
    grid = [each for density in (0.1, 0.2, 0.3) for each in runs(LOGS, density)]
    first, last = told(grid)
    assert first.startswith("At all 3 densities Random-k beats RegTop-k by 5.93 decades (p")
    assert last == HOLM


def test_seven_densities_of_five_algorithms_are_a_few_lines() -> None:
    logs = {"dense": [-27.1, -27.3, -27.2], **LOGS, "oracle": [-28.0, -28.1, -28.3]}
    densities = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
    sparse = {name: values for name, values in logs.items() if name != "dense"}
    grid = [each for density in densities for each in runs(sparse, density)]
    grid += runs({"dense": logs["dense"]})
    close = runs({**LOGS, "regtopk": [-2.1, -2.3, -2.2]}, 0.3)
    lines = told([*grid, *close], 1e-3)
    assert sum("densities 0.4 to 0.7" in each for each in lines) >= 1
    assert len(lines) <= 6
    assert not any("oracle" in each for each in lines)
    assert max(map(len, lines)) < 400


def test_one_seed_supports_no_verdict_and_says_how_to_get_one() -> None:
    one = {name: values[:1] for name, values in LOGS.items()}
    lines = told(runs({**one, "dense": [-5.0]}), 1e-3)
    assert lines == ["One seed supports no verdict on which is better: --seeds 0-4 runs five"]


def test_one_algorithm_has_nothing_to_be_compared_with() -> None:
    assert told(runs(only("topk"))) == []


def test_seeds_that_no_two_have_in_common() -> None:
    apart = [*runs(only("topk")), *runs(only("regtopk"), first=5)]
    assert told(apart) == ["No two algorithms finished on two seeds in common: no verdict"]


def test_an_algorithm_with_seeds_of_its_own_among_others() -> None:
    first, *_ = told([*runs(only("topk", "randomk")), *runs({"regtopk": [-9.0, -9.3]}, first=7)])
    assert first == (
        "At density 0.5 RegTop-k and Random-k have fewer than two seeds in common: no verdict; "
        f"Random-k (log10 gap {value(LOGS['randomk'])}) beats Top-k ({value(LOGS['topk'])}, "
        f"p = {p(LOGS['randomk'], LOGS['topk'], 1):.2g})"
    )


def test_the_same_runs_are_called_so_even_with_one_seed() -> None:
    same = {"topk": LOGS["topk"], "regtopk": LOGS["topk"]}
    text = "At density 0.5 Top-k and RegTop-k made the same runs, bit for bit"
    assert told(runs(same))[0] == text
    assert told(runs({name: values[:1] for name, values in same.items()}))[0] == text
    assert not any("beats" in each for each in told(runs(same)))


def test_what_diverged_failed_was_stopped_or_is_not_finite_is_not_ranked() -> None:
    recipe = {"recipe": RECIPE | {"rounds": 2}}
    first, *rest = told(
        [
            *runs(only("topk", "randomk")),
            *runs({"pkg.A": [-30.0]}, 0.5, status="diverged", **recipe),
            *runs({"pkg.A": [-30.0, -30.0]}, 0.5, 1),
            *runs({"pkg.B": [-30.0]}, 0.5, status="failed", **recipe),
            *runs({"pkg.C": [float("inf")] * 2}),
            *runs({"pkg.D": [-30.0]}, 0.5, status="stopped", **recipe),
        ]
    )
    assert first == (
        "Not ranked: A at density 0.5 (1 of 3 diverged); B at density 0.5 (1 of 1 failed); "
        "C at density 0.5 (no finite log10 gap); D at density 0.5 (stopped early)"
    )
    assert rest[0].startswith("At density 0.5 Random-k")


def test_what_sparsifying_costs_is_said_against_dense() -> None:
    logs = {"dense": [-5.0, -5.1, -4.8], **only("topk", "randomk")}
    lines = told([*runs(logs), *runs(only("topk", "randomk"), 0.25)])
    (against,) = (each for each in lines if each.startswith("Against"))
    worst = max(2 * p(LOGS["randomk"], logs["dense"], 1), p(LOGS["topk"], logs["dense"], 1))
    assert against.startswith(
        f"Against dense (log10 gap {value(logs['dense'])}), better: Random-k at "
    )
    assert "; worse: Top-k at densities 0.25 and 0.5 (p ≤ " in against
    assert worst < 0.05


def costing(name: str, density: float, rounds: Sequence[int], sent: int) -> list[Run]:
    """Return runs that reach a gap of 0.1 in so many rounds, sending so many bytes in each."""
    found = []
    for seed, at in enumerate(rounds):
        gaps = [1.0] * (at - 1) + [0.05 * (1 + seed)] * (61 - at)
        made = run(name, seed, gaps=gaps, density=density)
        changed = {
            "traces": made.traces | {"uplink_bytes": [2 * sent] * 60},
            "metrics": made.metrics | {"uplink_bytes": 120 * sent},
        }
        found.append(made.model_copy(update=changed))
    return found


def unchanging(name: str, density: float, at: int, sent: int) -> list[Run]:
    """Return runs that are the same with each of three seeds."""
    first, *_ = costing(name, density, [at], sent)
    cells = [first.cell.model_copy(update={"seed": seed}) for seed in range(3)]
    return [first.model_copy(update={"cell": each}) for each in cells]


def test_bytes_of_runs_that_no_seed_changes_are_those_of_one() -> None:
    dense = costing("dense", 1.0, [20, 22, 21], 100_000)
    same = [*unchanging("topk", 0.1, 30, 900), *unchanging("regtopk", 0.1, 30, 900)]
    (least,) = (each for each in told([*dense, *same], 0.2) if each.startswith("To 0.2"))
    assert "least is sent by Top-k and RegTop-k at density 0.1 (the same runs), 27" in least
    assert "in common" not in least
    others = [*unchanging("topk", 0.1, 30, 900), *unchanging("regtopk", 0.1, 31, 900)]
    (least,) = (each for each in told([*dense, *others], 0.2) if "until 0.2" in each)
    assert "distinguishable" not in least
    assert "; dense sends " in least
    assert not any("0.2" in each for each in told(others, 0.2))


def test_who_needs_the_fewest_bytes_is_said_whatever_the_density() -> None:
    dense = costing("dense", 1.0, [20, 22, 21], 100_000)
    lines = told(
        [
            *dense,
            *costing("topk", 0.5, [25, 24, 28], 60_000),
            *costing("topk", 0.1, [40, 39, 47], 9000),
        ],
        0.2,
    )
    (least,) = (each for each in lines if each.startswith("To 0.2"))
    sent = [360.0, 351.0, 423.0]
    low, high = scipy.stats.t.interval(0.95, 2, np.mean(sent), scipy.stats.sem(sent))
    next_ratio = scipy.stats.gmean(np.array([25, 24, 28]) * 60 / np.array(sent))
    dense_ratio = scipy.stats.gmean(np.array([20, 22, 21]) * 100 / np.array(sent))
    assert least.startswith(
        f"To 0.2, least is sent by Top-k at density 0.1, {np.mean(sent):.0f}±"
        f"{(high - low) / 2:.0f} kB per worker; Top-k at density 0.5 sends {next_ratio:.3g} times "
        "as much (p = "
    )
    assert f"; dense sends {dense_ratio:.3g} times as much (p = " in least


def test_equal_costs_and_targets_that_are_not_reached() -> None:
    equal = [
        *costing("topk", 0.5, [25, 24, 28], 1000),
        *costing("regtopk", 0.5, [25, 25, 27], 1000),
    ]
    (least,) = (each for each in told(equal, 0.2) if "until 0.2" in each)
    assert least.endswith(" kB; no difference is distinguishable over 3 seeds")
    (single,) = (each for each in told(equal, 1e-9) if "1e-09" in each)
    assert single == "Nothing reached 1e-09 on every seed that finished"


def test_seeds_that_change_nothing_support_no_verdict() -> None:
    alike = runs({"topk": [-2.0] * 3, "regtopk": [-3.0] * 3})
    assert told(alike) == [
        "Runs are the same with every seed, so that several are worth one: no verdict"
    ]
    first, *_ = told([*alike, *runs(only("randomk"))])
    assert first.startswith("At density 0.5 Random-k (log10 gap")
    first, *_ = told([*alike, *runs({"randomk": [-1.0, -1.2, -0.9]})])
    assert first.startswith(
        "At density 0.5 the runs of RegTop-k and Top-k are the same with every seed: no verdict; "
    )


def test_a_p_too_small_to_be_computed_has_a_bound() -> None:
    logs = np.random.default_rng(0).normal(size=1000) / 1e3
    first, *_ = told(runs({"topk": list(-2.0 + logs), "regtopk": list(-3.0 - logs)}))
    assert first.endswith(", p < 1e-300)")


def test_configurations_are_told_apart_by_their_parameters() -> None:
    ours = [
        each
        for mu, log in ((4.0, -3.0), (8.0, -9.0))
        for each in runs({"regtopk": [log, log - 0.01 * mu, log + 0.2]}, mu=mu)
    ]
    first, *_ = told(ours)
    assert first.startswith("At density 0.5 RegTop-k mu=8 (log10 gap ")
    assert " beats RegTop-k mu=4 (" in first


def test_three_that_cannot_be_told_apart_say_between_which_the_seeds_would() -> None:
    logs = {
        "topk": [-2.0, -2.5, -2.1],
        "regtopk": [-2.4, -2.1, -2.2],
        "randomk": [-2.9, -2.3, -3.1],
    }
    needed = {
        (one, other): seeds_needed(np.subtract(logs[one], logs[other]), 0.05 / 3)
        for one, other in (("regtopk", "topk"), ("randomk", "topk"), ("randomk", "regtopk"))
    }
    assert min(needed, key=lambda pair: needed[pair] or 10**9) == ("randomk", "regtopk")
    first, *_ = told(runs(logs))
    assert first.endswith(" decades, as between Random-k and RegTop-k")
    sparser = {name: [value + 0.01 for value in values] for name, values in logs.items()}
    grid = [*runs(logs), *runs(sparser, 0.25), *runs(logs, 0.1)]
    assert ", as between Random-k and RegTop-k at density " in told(grid)[0]


def test_equal_means_need_no_number_of_seeds() -> None:
    first, last = told(runs({"topk": [-2.0, -3.0, -4.0], "regtopk": [-3.0, -4.0, -2.0]}))
    assert first.endswith("p = 1); the means are equal")
    assert last == HOLM


def test_equal_differences_have_no_interval_that_says_more_than_their_p() -> None:
    first, *_ = told(runs({"topk": [-2.0, -1.0, -3.0], "regtopk": [-3.0, -2.0, -4.0]}))
    assert "is distinguishable over 3 seeds (1.00 decades, p = 0.25)" in first


def test_small_differences_are_not_zero() -> None:
    logs = {"topk": [-2.0, -2.5, -2.1], "regtopk": [-2.001, -2.5011, -2.1012]}
    grid = [each for density in (0.1, 0.2, 0.3) for each in runs(logs, density)]
    assert " beats Top-k by 0.0011 decades (p" in told(grid)[0]


def test_what_diverged_and_what_failed_are_both_counted() -> None:
    recipe = {"recipe": RECIPE | {"rounds": 2}}
    ended = [
        run("pkg.A", seed, gaps=[1.0, 0.1], status=status, **recipe)
        for seed, status in enumerate(("diverged", "failed", "failed"))
    ]
    assert told([*runs(LOGS), *ended])[0] == (
        "Not ranked: A at density 0.5 (1 of 3 diverged and 2 of 3 failed)"
    )


def test_single_seeds_that_differ_are_not_one_seed() -> None:
    apart = [*runs({"topk": [-2.0]}), *runs({"regtopk": [-3.0]}, first=1)]
    assert told(apart) == ["No two algorithms finished on two seeds in common: no verdict"]


def test_it_is_said_of_each_kind_of_p_what_it_is_corrected_for() -> None:
    with_dense = [*runs(LOGS), *runs({"dense": [-5.0, -5.1, -4.8]})]
    assert told(with_dense)[-1] == (f"{HOLM}; against dense, for all pairs with dense at a density")
    only_dense = [*runs(only("topk")), *runs({"dense": [-5.0, -5.1, -4.8]})]
    assert told(only_dense)[-1] == (
        "p: t-test paired by seed, corrected (Holm) for all pairs with dense at a density"
    )
    costs = [
        *costing("dense", 1.0, [20, 22, 21], 100_000),
        *costing("topk", 0.5, [25, 24, 28], 60_000),
    ]
    assert told(costs, 0.2)[-1].endswith("; of bytes, for all pairs")
    same = {"topk": LOGS["topk"], "regtopk": LOGS["topk"]}
    assert len(told(runs(same))) == 1


def test_a_bound_that_reaches_the_target_is_not_denied() -> None:
    built = [*costing("topk", 0.5, [25, 24, 28], 900), *costing("dense", 1.0, [61, 61, 61], 900)]
    bound = costing("oracle", 0.5, [5, 6, 7], 900)
    assert any(
        each.startswith("Of what can be built, only Top-k at density 0.5 reached 0.2 on every seed")
        for each in told([*built, *bound], 0.2)
    )
    slow = runs({"topk": [-0.2, -0.3, -0.1], "dense": [-0.1, -0.3, -0.4]})
    broken = [run("pkg.Mine", seed, status="diverged") for seed in range(2)]
    nothing = "nothing reached 0.2 on every seed that finished"
    assert f"Of what can be built, {nothing}" in told([*slow, *bound], 0.2)
    assert f"Of what can be built and never failed, {nothing}" in told(
        [*slow, *bound, *broken], 0.2
    )


def test_bytes_of_several_are_in_order_and_the_rest_is_counted() -> None:
    rounds = {
        "topk": [25, 24, 28],
        "regtopk": [25, 25, 27],
        "randomk": [26, 24, 27],
        "pkg.Mine": [24, 26, 27],
    }
    equal = [each for name, own in rounds.items() for each in costing(name, 0.5, own, 1000)]
    dense = costing("dense", 1.0, [20, 22, 21], 100_000)
    (least,) = (each for each in told([*equal, *dense], 0.2) if "until 0.2" in each)
    assert least.startswith("Sent per worker until 0.2, least first: ")
    assert least.count(" kB; ") == 3
    assert "; and 1 more; no difference is distinguishable over 3 seeds; dense sends " in least
    leader = least.split(": ")[1].split(",")[0]
    assert f" times as much as {leader} (p = " in least


def test_bytes_have_the_interval_of_what_is_as_coarse_as_rounds() -> None:
    equal = [
        *costing("topk", 0.5, [25, 25, 25], 1000),
        *costing("regtopk", 0.5, [25, 24, 26], 1000),
    ]
    (least,) = (each for each in told(equal, 0.2) if "until 0.2" in each)
    half_width = scipy.stats.t.ppf(0.975, 2) * 1.0 / np.sqrt(12.0) / np.sqrt(3.0)
    shown = re.search(r"[^g]Top-k at density 0\.5, 25\.0*±([\d.]+) kB", least)
    assert shown
    assert float(shown[1]) == pytest.approx(half_width, abs=0.05)


def test_a_single_seed_of_one_does_not_silence_the_others_on_bytes() -> None:
    costs = [
        *costing("dense", 1.0, [20, 22, 21], 100_000),
        *costing("topk", 0.1, [40, 39, 47], 9000),
        *costing("regtopk", 0.1, [40], 9000),
    ]
    (least,) = (each for each in told(costs, 0.2) if each.startswith("To 0.2"))
    assert "least is sent by Top-k at density 0.1" in least
    assert least.endswith(
        "; RegTop-k at density 0.1 had fewer than two seeds in common with others"
    )


def test_bytes_over_no_seeds_are_not_told() -> None:
    apart = [
        *costing("dense", 1.0, [20, 22, 21], 1000),
        *costing("topk", 0.5, [20, 22, 21], 1000),
        *(
            each.model_copy(
                update={"cell": each.cell.model_copy(update={"seed": 7 + each.cell.seed})}
            )
            for each in costing("regtopk", 0.5, [20, 22], 1000)
        ),
    ]
    assert not any("0 seeds" in each for each in told(apart, 0.2))


def test_nothing_sent_until_the_target_is_an_amount_too() -> None:
    silent = [
        *costing("topk", 0.5, [25, 24, 28], 0),
        *costing("regtopk", 0.5, [25, 25, 27], 1000),
    ]
    (least,) = (each for each in told(silent, 0.2) if each.startswith("To 0.2"))
    assert "least is sent by Top-k at density 0.5, 0" in least
    assert "; RegTop-k at density 0.5 sends 25.7±" in least


def test_one_without_a_density_is_no_rival_of_dense_at_a_density() -> None:
    logs = {"dense": [-5.0, -5.1, -4.8], "pkg.Threshold": [-9.0, -9.4, -8.1]}
    found = told([*runs(logs, density=None), *runs(only("topk"))])
    assert not any("density 1" in each for each in found)
    assert any(
        each.startswith("Against dense (") and "better: Threshold (p = " in each for each in found
    )


def test_scopes_at_one_density_are_told_apart() -> None:
    whole, layers = ({"topk": LOGS["topk"], "randomk": LOGS["randomk"]} for _ in range(2))
    found = told([*runs(whole, scope="global"), *runs(layers, scope="layer")])
    assert not any("no verdict" in each for each in found)
    assert sum(each.startswith("At density 0.5 Random-k scope=") for each in found) == 2
