from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats

from regtopk_bench.report.answer import Target, Wording, answers
from regtopk_bench.results import Run
from regtopk_bench.results.measures import LOG10_GAP
from regtopk_bench.results.paired import seeds_needed
from regtopk_bench.results.statistics import statistics_of
from tests.results.samples import RECIPE, result, run

LOGS = {
    "topk": [-2.0, -2.5, -2.1],
    "regtopk": [-3.0, -2.4, -3.3],
    "randomk": [-9.0, -9.4, -8.1],
}
GAP = Wording(LOG10_GAP, "log10 gap", "decades")
HOLM = "p: t-test paired by seed, corrected for all pairs at a density (Holm)"
POWER = "; seeds are those that show it 4 times in 5"


def runs(
    logs: Mapping[str, Sequence[float]], density: float = 0.5, first: int = 0, **changes: Any
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
    return f"{np.mean(logs):.2f}±{(high - low) / 2:.2f}"


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
        f"({value(topk)}) is distinguishable over 3 seeds ({-differences.mean():.2f}±"
        f"{half_width:.2f} decades, p = {p(regtopk, topk, 1):.2g}); about {needed} seeds would "
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
    assert first.startswith("At all 3 densities Random-k beats RegTop-k by 5.93 to 5.93 decades (p")
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
    (least,) = (each for each in told(equal, 0.2) if each.startswith("To 0.2"))
    assert " kB per worker, with no difference distinguishable over 3 seeds" in least
    (single,) = (each for each in told(equal, 1e-9) if "1e-09" in each)
    assert single == "Nothing reached 1e-09 on every seed"


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
