"""Settings that cannot be used say so when they are given."""

from __future__ import annotations

from typing import Any

import pytest

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, Statistics


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sparsifier": "topk"}, 'expected a sparsifier, not "topk"'),
        ({"start_iteration": -1}, "start_iteration -1 is not at least 0"),
        ({"seed": 0.5}, "seed 0.5 is not a whole number"),
        ({"scope": "layer"}, 'scope "layer" is neither "bucket" nor "global"'),
        ({"encoding": "zip"}, 'encoding "zip" is none of coordinates, compact'),
        ({"model": [1]}, r"expected a module as model, not \[1\]"),
        ({"warm_up": [0.25]}, r"warm_up \[0.25\]: expected \(density, iterations\) for each stage"),
        ({"warm_up": [(2.0, 5)]}, "density 2.0 is not in"),
        ({"warm_up": [(0.5, 0)]}, "length of a stage 0 is not at least 1"),
        ({"sparsifier": rb.Dense(), "warm_up": [(0.5, 9)]}, "warm_up: Dense has no density"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(rb.ConfigurationError, match=said):
        SparseState(**{"sparsifier": rb.TopK(density=0.1), **settings})


def test_stages_of_a_warm_up() -> None:
    inner = rb.RegTopK(k=7, mu=2.0)
    state = SparseState(rb.PerLayer(inner), start_iteration=2, warm_up=((0.25, 3), (0.06, 1)))
    found = [state.sparsifier_at(iteration) for iteration in range(8)]
    stages = rb.RegTopK(density=0.25, mu=2.0), rb.RegTopK(density=0.06, mu=2.0)
    first, second = map(rb.PerLayer, stages)
    assert found == [
        None,
        None,
        first,
        first,
        first,
        second,
        rb.PerLayer(inner),
        rb.PerLayer(inner),
    ]


def test_statistics_before_the_first_iteration() -> None:
    state = SparseState(rb.TopK(density=0.1))
    assert state.statistics == Statistics()
    assert state.statistics.rate == 1.0
