"""`compare`: the same numbers as the statistics below it, from results, runs and traces."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

import regtopk_bench as rb
from tests.results.samples import RECIPE, image_run, result, run, timed
from tests.workloads.networks import workload

SPARSIFIERS = [rb.Dense(), rb.TopK(density=0.1), rb.RegTopK(density=0.1)]
SEEDS = range(4)


def regression(seed: int) -> rb.Workload:
    return rb.LinearRegression.synthetic(workers=4, samples=30, dim=12, seed=seed)


def network(seed: int) -> rb.Workload:
    return workload(seed=seed)


@pytest.fixture(scope="module")
def trained() -> rb.Result:
    return rb.simulate_seeds(network, SPARSIFIERS, seeds=SEEDS, rounds=15, learning_rate=0.1)


def finals(result: rb.Result, algorithm: str, metric: str) -> Any:
    return np.array(
        [each.metrics[metric] for each in result.runs if each.cell.which["algorithm"] == algorithm]
    )


def test_means_intervals_and_pairs_are_those_of_scipy(trained: rb.Result) -> None:
    compared = rb.compare(trained)
    frame = compared.to_pandas().set_index("algorithm")
    for name in ("dense", "topk", "regtopk"):
        losses = finals(trained, name, "loss")
        interval = stats.t.interval(0.95, 3, losses.mean(), stats.sem(losses))
        assert frame.loc[name, "loss"] == pytest.approx(losses.mean())
        assert frame.loc[name, "loss_half_width"] == pytest.approx((interval[1] - interval[0]) / 2)
        assert frame.loc[name, "finished"] == 4
    pairs = {
        (each.first.label, each.second.label): each
        for each in compared.comparisons
        if each.metric == "loss"
    }
    assert set(pairs) == {("topk", "dense"), ("regtopk", "dense"), ("regtopk", "topk")}
    first, second = finals(trained, "topk", "loss"), finals(trained, "dense", "loss")
    assert pairs["topk", "dense"].p == pytest.approx(stats.ttest_rel(first, second).pvalue)


def test_it_prints_as_tables(trained: rb.Result) -> None:
    compared = rb.compare(trained)
    for shown in (repr(compared), compared._repr_html_()):
        for text in ("regtopk", "accuracy", "loss", "kB", "4 seeds", "First minus second"):
            assert text in shown
    lines = repr(compared).splitlines()
    assert all(line == line.rstrip() for line in lines)
    (row,) = [line for line in lines if line.split()[:2] == ["topk", "0.1"]]
    mean = finals(trained, "topk", "loss").mean()
    assert round(float(row.split()[3].split("±")[0]), 3) == round(mean, 3)


def test_traces_are_compared_as_the_runs_are(trained: rb.Result) -> None:
    traces = [
        rb.simulate(network(seed), sparsifier, rounds=15, learning_rate=0.1, seed=seed)
        for seed in SEEDS
        for sparsifier in SPARSIFIERS
    ]
    ours, theirs = rb.compare(traces), rb.compare(trained.runs)
    assert ours.to_pandas().equals(theirs.to_pandas())
    assert [each.p for each in ours.comparisons] == [each.p for each in theirs.comparisons]
    alone = rb.compare(traces[0])
    assert alone.summary[0].seeds == [0]
    assert "First minus second" not in repr(alone)


def test_what_differs_between_problems_and_recipes_is_a_column(trained: rb.Result) -> None:
    faster = rb.simulate_seeds(
        network, SPARSIFIERS[1], seeds=SEEDS, rounds=15, learning_rate=0.2, name="network"
    )
    other = rb.simulate_seeds(regression, SPARSIFIERS[1], seeds=SEEDS, rounds=15, learning_rate=0.1)
    compared = rb.compare([trained, faster, *other.runs])
    header = next(line for line in repr(compared).splitlines() if "algorithm" in line)
    assert "learning_rate" in header
    assert "workload" in header
    assert "momentum" not in header
    assert len(compared.summary) == 5
    assert len(compared.comparisons) == len(rb.compare(trained).comparisons)  # the same problem


def test_a_metric_of_ones_own_is_compared_once_it_is_told_which_values_are_better() -> None:
    runs = [
        run(name, seed, traces={"f1": [0.1, 0.2, 0.3 + 0.1 * seed + shift]})
        for seed in range(3)
        for name, shift in (("topk", 0.0), ("regtopk", 0.2 + 0.01 * seed))
    ]
    assert {each.metric for each in rb.compare(runs).comparisons} == {"log10_gap"}
    told = rb.compare(runs, better={"f1": "higher"})
    (pair,) = [each for each in told.comparisons if each.metric == "f1"]
    assert (pair.first.label, pair.finding) == ("regtopk", "first")
    assert "f1" in repr(told)


def simulated(seed: int, size: int = 12, **changes: Any) -> rb.Trace:
    problem = rb.LinearRegression.synthetic(workers=4, samples=30, dim=size, seed=seed)
    options = {"rounds": 9, "learning_rate": 0.1} | changes
    return rb.simulate(problem, rb.TopK(k=3), seed=seed, **options)


@pytest.mark.parametrize(
    "change", [{"learning_rate": 0.2}, {"momentum": 0.9}, {"rounds": 8}, {"size": 11}]
)
def test_traces_of_another_recipe_or_size_are_no_seeds_of_the_same_one(
    change: dict[str, Any],
) -> None:
    compared = rb.compare([simulated(0), simulated(1), simulated(2, **change)])
    assert [each.seeds for each in compared.summary] == [[0, 1], [2]]
    (name,) = change
    assert {"size": "parameters"}.get(name, name) in repr(compared)


def test_a_trace_that_was_stopped_early_is_told() -> None:
    stopped = simulated(1, on_round=lambda info: info.round == 5)
    compared = rb.compare([simulated(0), stopped])
    assert compared.summary[0].seeds == [0]
    assert "1 run stopped early" in repr(compared)


@pytest.mark.parametrize(
    ("size", "workers", "message"),
    [
        (11, 4, r"named problem: .* 12 parameters \(.*seed 0\) and 11 \(.*seed 1\); name each"),
        (12, 3, r"named problem: runs have 4 workers \(.*seed 0\) and 3 \(.*seed 1\); name each"),
    ],
)
def test_problems_of_other_sizes_with_the_same_name_are_refused(
    size: int, workers: int, message: str
) -> None:
    def made(seed: int, workers: int, size: int) -> rb.Result:
        return rb.simulate_seeds(
            lambda seed: rb.LinearRegression.synthetic(workers, 30, size, seed=seed),
            rb.TopK(k=3),
            seeds=[seed],
            rounds=5,
            learning_rate=0.1,
            name="problem",
        )

    with pytest.raises(rb.ConfigurationError, match=message) as caught:
        rb.compare([made(0, 4, 12), made(1, workers, size)])
    assert "\n" not in str(caught.value)


def test_it_ends_with_the_answer() -> None:
    runs = [
        run(name, seed, traces={"f1": [0.1, 0.2, 0.3 + 0.01 * seed + shift]}, recipe=recipe)
        for seed in range(3)
        for name, shift in (("topk", 0.0), ("regtopk", 0.2 + 0.003 * seed))
        for recipe in (RECIPE, RECIPE | {"learning_rate": 0.2})
    ]
    at = "At density 0.5 RegTop-k (f1 0.513±0.032) beats Top-k (0.310±0.025, p = "
    one = rb.compare(runs[::2], better={"f1": "higher"}).tables[-1].notes
    assert str(one[1]).startswith(at)
    assert str(one[-1]).startswith("p: t-test paired by seed")
    both = rb.compare(runs, better={"f1": "higher"}).tables[-1]
    for rate, note in zip((0.1, 0.2), both.notes[1:3], strict=True):
        assert str(note).startswith(f"learning_rate={rate}: {at}")
    assert "learning_rate" in {column.key for column in both.columns}
    (single,) = [note for note in rb.compare(runs[::2][:2]).tables[-1].notes if "verdict" in note]
    assert single == ("One seed supports no verdict on which is better: seeds=range(5) runs five")


def test_accuracy_decides_before_the_loss(trained: rb.Result) -> None:
    lines = " ".join(repr(rb.compare(trained)).split())
    assert "final accuracy" in lines
    assert "p: t-test paired by seed" in lines


class Stream(io.TextIOWrapper):
    """Text in an encoding, on a terminal or not."""

    def __init__(self, encoding: str, on_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding)
        self.on_terminal = on_terminal

    def isatty(self) -> bool:
        return self.on_terminal

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("on_terminal", "columns", "width"), [(True, 60, 60), (True, 180, 180), (False, 60, 100)]
)
def test_it_is_as_wide_as_the_terminal(
    trained: rb.Result,
    monkeypatch: pytest.MonkeyPatch,
    on_terminal: bool,
    columns: int,
    width: int,
) -> None:
    stream = Stream("utf-8", on_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    print(rb.compare(trained))
    longest = max(map(len, stream.text().splitlines()))
    assert min(width, 100) - 15 < longest <= width


def test_it_prints_to_a_stream_of_ascii(trained: rb.Result) -> None:
    code = (
        "import sys, regtopk_bench as rb; compared = rb.compare(rb.load(sys.argv[1]))\n"
        "print(compared); print(compared._repr_html_() != '')"
    )
    rb.save(trained, "saved")
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code, "saved"],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"+-" in done.stdout
    assert b"?" not in done.stdout


def test_runs_that_diverged_are_told() -> None:
    runs = [run("topk", 0), run("topk", 1, status="diverged"), run("dense", 0, density=None)]
    assert "topk at density 0.5: 1 of 2 diverged" in repr(rb.compare(runs))
    failed = [*runs, run("dense", 1, density=None, status="failed")]
    assert "dense: 1 of 2 failed" in repr(rb.compare(failed))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ([], "there is no training run to compare"),
        ([timed()], "there is no training run to compare"),
        ([run("topk"), run("topk")], "two runs have the same cell .algorithm topk, density 0.5, s"),
        ("runs/a", "expected results, runs or traces, not a str"),
        ([3], "expected results, runs or traces, not a int"),
        ({"topk": []}, "expected results, runs or traces, not a dict"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(what: Any, message: str) -> None:
    with pytest.raises(rb.ConfigurationError, match=message) as caught:
        rb.compare(what)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("better", "message"),
    [
        ({"f1": "higher"}, 'no run has a metric "f1"; there are gap'),
        ({"gap": "more"}, 'gap: expected "lower" or "higher", not \'more\''),
    ],
)
def test_what_is_better_is_checked(better: Any, message: str) -> None:
    with pytest.raises(rb.ConfigurationError, match=message):
        rb.compare([run()], better=better)


def linreg(target: float, name: str = "topk", **changes: Any) -> rb.Result:
    runs = [run(name, seed, gaps=[1.0, 0.1, 0.01 / (1 + seed)], **changes) for seed in range(2)]
    return result(runs, target=target)


def test_results_of_several_commands_are_compared_by_what_they_share(trained: rb.Result) -> None:
    saved = linreg(0.5)
    images = result([image_run("topk", seed) for seed in range(2)], "cifar", target=0.7)
    for other in (trained, images):
        compared = rb.compare([saved, other])
        metrics = {name for each in compared.summary for name in each.metrics}
        assert {"log10_gap", "final_accuracy", "loss"} <= metrics
        assert not any("to_target" in name for name in metrics)
        assert "accuracy" in repr(compared)


def test_costs_until_a_target_are_compared_only_if_it_is_the_same() -> None:
    other = linreg(0.5, "regtopk"), linreg(0.05, "regtopk")
    same, different = (rb.compare([linreg(0.5), each]) for each in other)
    assert "to target" in repr(same)
    assert same.summary[0].metrics["rounds_to_target"].mean == 2.0
    assert "rounds_to_target" not in different.summary[0].metrics
    assert "to target" not in repr(different)
    with_runs = rb.compare([linreg(0.5), *other[0].runs])
    assert "rounds_to_target" not in with_runs.summary[0].metrics


def test_results_without_a_target_are_of_one_command() -> None:
    apart = [result([run(name, seed) for seed in range(2)]) for name in ("topk", "regtopk")]
    assert "received_bytes_per_worker_round" in rb.compare(apart).summary[0].metrics


def test_what_was_given_no_density_shows_none() -> None:
    runs = [
        run(name, seed, density=None, gaps=[1.0, gap * (1 + seed)])
        for name, gap in (("dense", 0.1), ("pkg.Threshold", 0.001))
        for seed in range(3)
    ]
    means, pairs = rb.compare(runs).tables
    assert [row.entries[1].text for row in means.rows] == ["–", "–"]
    assert [[entry.text for entry in row.entries[:3]] for row in pairs.rows] == [
        ["Threshold", "dense", "–"]
    ]
