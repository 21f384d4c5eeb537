"""Values that a run cannot use are refused with one line, before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import regtopk_bench as rb
from regtopk_bench.timing import CpuClock, candidates, measure, problem

NAN, INF = float("nan"), float("inf")


def refused(call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(rb.ConfigurationError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rounds", [-1, 1.5, True, NAN, None, "3", 10**30, 10**5000]),
        ("learning_rate", [NAN, INF, 0, -1.0, "x", True, None, 10**400]),
        ("processes", [0, 3, "many", 2.5, True, None]),
        ("seed", [-1, 2**63, 1.0, False, None, "0"]),
        ("initial", [[1.0], [NAN, 1.0], [[1.0, 2.0]], "x", [1j, 1j], 3]),
        ("on_round", [3, "x"]),
        ("evaluate_every", [0, 1.5, True]),
        ("local_steps", [0, 1.5, True]),
        ("encoding", ["zip", None, 4, b"compact", ["compact"]]),
        ("momentum", [1, -0.1, NAN, "x", True]),
        ("weight_decay", [-1, INF, "x"]),
        ("schedule", ["cosine", 3]),
        ("checkpoints", ["folder", 3]),
    ],
)
def test_arguments_of_a_run(name: str, values: list[Any]) -> None:
    fine: dict[str, Any] = {"rounds": 2, "learning_rate": 0.1, "processes": 1}
    for value in values:
        text = refused(rb.simulate, rb.LogisticToy(), rb.TopK(k=1), **(fine | {name: value}))
        assert name.replace("_", " ").split()[0].lower() in text.lower()


def test_a_warm_up_ends_before_the_run() -> None:
    arguments: dict[str, Any] = {"rounds": 2, "learning_rate": 0.1, "processes": 1}
    long = rb.Schedule(warm_up=3)
    text = refused(rb.simulate, rb.LogisticToy(), rb.TopK(k=1), schedule=long, **arguments)
    assert text == "warm_up 3 exceeds rounds 2"


def test_what_is_no_workload_or_sparsifier() -> None:
    fine: dict[str, Any] = {"rounds": 1, "learning_rate": 0.1}
    for sparsifier in (None, rb.TopK, "topk"):
        assert "Sparsifier" in refused(rb.simulate, rb.LogisticToy(), sparsifier, **fine)
    for workload in (None, rb.LogisticToy):
        assert "Workload" in refused(rb.simulate, workload, rb.Dense(), **fine)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (rb.TopK, [{"k": True}, {"k": 2.0}, {"k": "3"}, {"k": 0}, {"density": "x"}]),
        (rb.TopK, [{"density": NAN}, {"density": True}, {"density": 0}, {"density": 1.5}]),
        (
            rb.RegTopK,
            [{"k": 1, "mu": mu} for mu in (NAN, INF, 0, -1, "4", True, 10**400, 10**5000)],
        ),
        (rb.RegTopK, [{"k": 1, "q": q} for q in (NAN, INF, 0, -1, "4", True)]),
        (rb.PerLayer, [{"sparsifier": None}, {"sparsifier": rb.TopK}]),
        (rb.Schedule, [{"shape": "linear"}, {"shape": None}, {"warm_up": -1}, {"warm_up": 1.5}]),
        (rb.Checkpoints, [{"folder": Path(), "every": every} for every in (0, 1.5, True, "x")]),
        (rb.Checkpoints, [{"folder": folder, "every": 1} for folder in (None, 3, "x")]),
        (rb.Placement.alone, [{"workers": workers, "dim": 3} for workers in (0, True, 2.5, None)]),
        (rb.Placement.alone, [{"workers": 2, "dim": dim} for dim in (0, -1, True, "x")]),
        (
            rb.Placement.alone,
            [
                {"workers": 2, "dim": 3, **wrong}
                for wrong in (
                    {"weights": torch.ones(3) / 3},
                    {"weights": torch.ones(2)},
                    {"weights": torch.tensor([NAN, 1.0])},
                    {"weights": torch.tensor([-1.0, 2.0])},
                    {"weights": [0.5, 0.5]},
                    {"shapes": ((2,),)},
                    {"shapes": ()},
                    {"shapes": [[3]]},
                    {"shapes": ((-3, -1),)},
                    {"dtype": torch.int64},
                    {"device": "nowhere"},
                    {"device": "meta"},
                    {"seed": -1},
                )
            ],
        ),
        (
            rb.LinearRegression.synthetic,
            [
                *({"workers": workers} for workers in (0, True, 2.5)),
                *({"seed": seed} for seed in (-1, 2**63, 1.0, None)),
                *({"noise_variance": variance} for variance in (-1.0, NAN, "x")),
                {"dtype": "float64"},
                {"dtype": torch.float16},
            ],
        ),
        (
            problem,
            [
                {"dim": 5, "k": 1, "dtype": torch.float32, "device": "cpu"} | wrong
                for wrong in (
                    {"distribution": "odd"},
                    {"distribution": "normal", "dim": 0},
                    {"distribution": "normal", "k": 6},
                    {"distribution": "normal", "seed": -1},
                    {"distribution": "normal", "dtype": torch.int64},
                )
            ],
        ),
    ],
)
def test_values_that_cannot_be_used(make: Any, wrong: list[dict[str, Any]]) -> None:
    for arguments in wrong:
        refused(make, **arguments)


def test_what_cannot_be_timed() -> None:
    data = problem("normal", 5, 1, torch.float32, "cpu")
    assert "torch.topk" in refused(lambda: list(candidates(data, ["torch.tpk"])))
    refused(measure, data, [], CpuClock(), repeats=0)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert rb.TopK(k=numpy.int64(2)) == rb.TopK(k=2)
    assert type(rb.TopK(k=numpy.int64(2)).k) is int
