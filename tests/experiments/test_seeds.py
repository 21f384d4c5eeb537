"""Several seeds of a problem of one's own: what `simulate` computes, stored as runs."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn

import regtopk_bench as rb
from tests.workloads.networks import points, workload

SPARSIFIERS = [rb.Dense(), rb.TopK(density=0.2), rb.RegTopK(density=0.2)]


def regression(seed: int) -> rb.Workload:
    return rb.LinearRegression.synthetic(workers=4, samples=30, dim=12, seed=seed)


def network(seed: int, batch: int = 5) -> rb.Workload:
    return workload(seed=seed, batch=batch)


def moved(by: float, seed: int, to: str = "") -> rb.Workload:
    x, y = points(40, seed)
    return workload(datasets=[(x + by, y)])


def unlucky(seed: int) -> rb.Workload:
    if seed == 2:
        raise ValueError("no such\ndata")
    return regression(seed)


def test_each_run_is_that_of_simulate() -> None:
    result = rb.simulate_seeds(
        regression, SPARSIFIERS, seeds=range(3, 5), rounds=40, learning_rate=0.05, momentum=0.5
    )
    found = [(run.cell.seed, run.cell.algorithm) for run in result.runs]  # type: ignore[union-attr]
    names = ["dense", "topk", "regtopk"]
    assert found == [(seed, name) for seed in (3, 4) for name in names]
    for run, (seed, name) in zip(result.runs, found, strict=True):
        trace = rb.simulate(
            regression(seed),
            SPARSIFIERS[names.index(name)],
            rounds=40,
            learning_rate=0.05,
            momentum=0.5,
            seed=seed,
        )
        assert run.status == "finished"
        assert run.traces["gap"] == trace["gap"].tolist()
        assert run.metrics["uplink_bytes"] == trace.bytes_sent.uplink.sum()
    assert result.settings["momentum"].value == 0.5
    assert result.runs[0].cell.problem == {"workload": "regression"}


def test_processes_of_their_own_give_the_same_runs() -> None:
    options: dict[str, Any] = {"seeds": [1, 0], "rounds": 12, "learning_rate": 0.1}
    one, several = (
        rb.simulate_seeds(network, SPARSIFIERS[:2], jobs=jobs, **options) for jobs in (1, 2)
    )
    assert [run.cell for run in one.runs] == [run.cell for run in several.runs]
    assert [run.traces for run in one.runs] == [run.traces for run in several.runs]


def test_a_function_without_a_name_and_a_single_sparsifier() -> None:
    shared = regression(0)
    result = rb.simulate_seeds(
        lambda seed: shared, rb.TopK(k=3), seeds=(0, 7), rounds=5, learning_rate=0.05
    )
    first, second = result.runs
    assert first.traces["loss"] != second.traces["loss"]  # initial parameters follow from the seed
    named = rb.simulate_seeds(
        functools.partial(network, batch=7),
        rb.Dense(),
        seeds=[0],
        rounds=2,
        learning_rate=0.1,
        name="larger batches",
    )
    assert named.runs[0].cell.problem == {"workload": "larger batches"}


def test_functions_with_other_arguments_are_other_problems() -> None:
    names = {
        "network(batch=7)": functools.partial(network, batch=7),
        "network(batch=8)": functools.partial(functools.partial(network, batch=7), batch=8),
        'moved(0.5, to="here")': functools.partial(moved, 0.5, to="here"),
    }
    for name, make in names.items():
        result = rb.simulate_seeds(make, rb.Dense(), seeds=[0], rounds=1, learning_rate=0.1)
        assert result.runs[0].cell.problem == {"workload": name}


@pytest.mark.parametrize("sparsifiers", [SPARSIFIERS, rb.RandomK(density=0.2)])
def test_a_problem_that_draws_the_same_with_every_seed_is_refused_before_training(
    sparsifiers: Any,
) -> None:
    asked, shared = [], network(0)

    def make(seed: int) -> rb.Workload:
        asked.append(seed)
        return shared

    with pytest.raises(
        rb.ConfigurationError,
        match="make makes the same problem for seeds 3 and 1: its data, batch",
    ):
        rb.simulate_seeds(
            make, sparsifiers, seeds=(3, 1, 4), rounds=10, learning_rate=0.1, name="make"
        )
    assert asked == [3, 1]
    assert rb.simulate_seeds(make, sparsifiers, seeds=[3], rounds=1, learning_rate=0.1).runs


def test_what_one_of_data_batches_and_initial_values_has_from_the_seed_is_trained() -> None:
    def start(seed: int) -> rb.Workload:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return workload(nn.Linear(6, 3))

    def data(seed: int) -> rb.Workload:
        return workload(datasets=[points(40, seed)])

    options: dict[str, Any] = {"seeds": (0, 7), "rounds": 2, "learning_rate": 0.1}
    for make in (start, data, network, regression):
        first, second = rb.simulate_seeds(make, rb.TopK(k=3), **options).runs
        assert first.traces["loss"] != second.traces["loss"]


def test_a_problem_without_a_seed_is_trained_with_what_random_k_draws() -> None:
    result = rb.simulate_seeds(
        lambda seed: rb.LogisticToy(),
        [rb.TopK(k=1), rb.RandomK(k=1)],
        seeds=range(4),
        rounds=20,
        learning_rate=0.9,
    )
    losses = [run.traces["loss"] for run in result.runs]
    assert all(each == losses[0] for each in losses[::2])
    assert len({tuple(each) for each in losses[1::2]}) == 4


def test_a_run_that_diverges_stops_no_other() -> None:
    result = rb.simulate_seeds(
        regression, SPARSIFIERS[:2], seeds=[0], rounds=600, learning_rate=50.0
    )
    assert [run.status for run in result.runs] == ["diverged", "diverged"]
    assert result.runs[0].error is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"make": regression(0)},
            r"is no function that makes the workload of a seed: give lambda seed: ModelWork",
        ),
        ({"make": None}, "None is no function"),
        ({"make": lambda seed: seed}, r"<lambda>\(0\) is 0, and not a Workload"),
        ({"make": unlucky, "seeds": [2]}, r"^unlucky\(2\) failed: ValueError: no such data$"),
        ({"seeds": 5}, r"^seeds must be a list, such as range\(5\), not 5$"),
        ({"seeds": []}, r"^there are no seeds: give a list, such as range\(5\)$"),
        ({"seeds": [1, 1]}, "seed 1 is there twice"),
        ({"seeds": [0.5]}, "seed 0.5 is not a whole number"),
        ({"sparsifiers": []}, "there are no sparsifiers: give a list, such as"),
        (
            {"sparsifiers": "topk"},
            r'^sparsifiers must be a list, such as \[rb.TopK\(density=0.01\)\], not "topk"$',
        ),
        ({"sparsifiers": ["topk"]}, 'expected a sparsifier, not "topk"'),
        ({"jobs": 0}, "jobs 0 is not at least 1"),
        ({"jobs": 2, "processes": 2}, 'jobs 2 with processes 2: .*; give processes 1 or "auto"'),
        ({"jobs": 2, "processes": "two"}, 'jobs 2 with processes "two"'),
        ({"make": lambda seed: regression(seed), "jobs": 2}, "cannot be sent to another process"),
        ({"rounds": -1}, "rounds -1 is not at least 0"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(change: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "make": regression,
        "sparsifiers": SPARSIFIERS,
        "seeds": [0],
        "rounds": 3,
        "learning_rate": 0.05,
    }
    with pytest.raises(rb.RegtopkBenchError, match=message) as caught:
        rb.simulate_seeds(**usual | change)
    assert "\n" not in str(caught.value)
