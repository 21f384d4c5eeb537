"""Several seeds of a problem of one's own: what `simulate` computes, stored as runs."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import regtopk_bench as rb
from tests.workloads.networks import workload

SPARSIFIERS = [rb.Dense(), rb.TopK(density=0.2), rb.RegTopK(density=0.2)]


def regression(seed: int) -> rb.Workload:
    return rb.LinearRegression.synthetic(workers=4, samples=30, dim=12, seed=seed)


def network(seed: int, batch: int = 5) -> rb.Workload:
    return workload(seed=seed, batch=batch)


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


def test_a_run_that_diverges_stops_no_other() -> None:
    result = rb.simulate_seeds(
        regression, SPARSIFIERS[:2], seeds=[0], rounds=600, learning_rate=50.0
    )
    assert [run.status for run in result.runs] == ["diverged", "diverged"]
    assert result.runs[0].error is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"make": regression(0)}, "is no function that makes the workload of a seed: give lambda"),
        ({"make": None}, "None is no function"),
        ({"make": lambda seed: seed}, r"<lambda>\(0\) is 0, and not a Workload"),
        ({"make": unlucky, "seeds": [2]}, r"^unlucky\(2\) failed: ValueError: no such data$"),
        ({"seeds": 5}, r"seeds 5 are not a list: give range\(5\)"),
        ({"seeds": []}, r"seeds \[\] are not a list"),
        ({"seeds": [1, 1]}, "seed 1 is there twice"),
        ({"seeds": [0.5]}, "seed 0.5 is not a whole number"),
        ({"sparsifiers": []}, "sparsifiers .* are not a list"),
        ({"sparsifiers": "topk"}, 'sparsifiers "topk" are not a list'),
        ({"sparsifiers": ["topk"]}, 'expected a sparsifier, not "topk"'),
        ({"jobs": 0}, "jobs 0 is not at least 1"),
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
