"""What makes two cells the same, and what does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import regtopk_bench as rb
from regtopk_bench.algorithms import parse_spec
from regtopk_bench.experiments import Cell, RegressionProblem
from regtopk_bench.experiments.grids import regression_cells
from regtopk_bench.messages import Encoding
from regtopk_bench.settings import LinregSettings
from regtopk_bench.training import Recipe, Schedule

PAPER = Cell(
    problem=RegressionProblem(),
    sparsifier=rb.RegTopK(density=0.4, mu=4.0),
    recipe=Recipe(rounds=2500, learning_rate=0.01),
)


def test_the_key_is_what_it_was_when_results_were_first_stored() -> None:
    """A change here makes every stored run, checkpoint and comparison one of another cell."""
    assert PAPER.key == "4a25a2b0888f3390"


def test_equal_cells_are_one() -> None:
    again = Cell(
        problem=RegressionProblem(workers=20, dim=100),
        sparsifier=rb.RegTopK(density=0.4),
        recipe=Recipe(rounds=2500, learning_rate=0.01, schedule=Schedule(shape="constant")),
        seed=0,
    )
    assert again == PAPER
    assert hash(again) == hash(PAPER)
    assert again.key == PAPER.key
    assert len({again, PAPER, dataclasses.replace(PAPER, seed=1)}) == 2


def test_numbers_that_are_equal_are_equal_in_the_key() -> None:
    sparsifier: Any = rb.RegTopK(density=0.4, mu=4)
    assert dataclasses.replace(PAPER, sparsifier=sparsifier).key == PAPER.key


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"problem": RegressionProblem(dtype="float32")},
        {"problem": RegressionProblem(noise_variance=0.25)},
        {"recipe": Recipe(rounds=2500, learning_rate=0.02)},
        {"recipe": Recipe(rounds=2500, learning_rate=0.01, evaluate_every=2)},
        {"recipe": Recipe(rounds=2500, learning_rate=0.01, schedule=Schedule(warm_up=5))},
        {"recipe": Recipe(rounds=2500, learning_rate=0.01, encoding=Encoding.COMPACT)},
        {"sparsifier": rb.RegTopK(density=0.4, values="bfloat16")},
        {"sparsifier": rb.RegTopK(density=0.4, mu=4.5)},
        {"sparsifier": rb.RegTopK(density=0.4, denominator="current")},
        {"sparsifier": rb.RegTopK(density=0.6)},
        {"sparsifier": rb.RegTopK(k=40)},
        {"sparsifier": rb.TopK(density=0.4)},
        {"sparsifier": rb.PerLayer(rb.RegTopK(density=0.4))},
    ],
    ids=str,
)
def test_whatever_decides_about_numbers_makes_another_cell(changed: dict[str, Any]) -> None:
    other = dataclasses.replace(PAPER, **changed)
    assert other.key != PAPER.key
    assert other != PAPER


def test_how_a_cell_is_run_is_no_part_of_it() -> None:
    plain = regression_cells(LinregSettings())
    execution: dict[str, Any] = {"processes": 4, "checkpoint_every": 3, "output": "elsewhere"}
    execution |= {"format": "json", "plot_format": "svg", "target": 0.5, "save": False}
    assert regression_cells(LinregSettings(**execution)) == plain
    assert regression_cells(LinregSettings(jobs=2)) == plain
    assert PAPER in plain
    assert len({cell.key for cell in plain}) == len(plain) == 9


def test_a_grid_has_a_cell_for_every_value_of_a_hyper_parameter() -> None:
    algorithms = tuple(map(parse_spec, ("regtopk:mu=4", "regtopk:mu=5", "regtopk:mu=4,k=3")))
    settings = LinregSettings(algorithm=algorithms, density=(0.4,), seeds=(0, 1))
    cells = regression_cells(settings)
    assert [(cell.seed, cell.sparsifier) for cell in cells] == [
        (seed, sparsifier)
        for seed in (0, 1)
        for sparsifier in (
            rb.RegTopK(k=3, mu=4.0),
            rb.RegTopK(density=0.4, mu=4.0),
            rb.RegTopK(density=0.4, mu=5.0),
        )
    ]


def test_its_name_is_a_few_words() -> None:
    assert str(PAPER) == "regtopk density 0.4 seed 0"
    assert str(dataclasses.replace(PAPER, sparsifier=rb.TopK(k=3), seed=2)) == "topk k 3 seed 2"
