"""The least-squares solution is NumPy's, or there is an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import regtopk_bench as rb
from regtopk_bench.workloads import least_squares as module
from regtopk_bench.workloads.base import equal_weights
from regtopk_bench.workloads.least_squares import DIRECT_DIM, least_squares

Array = NDArray[Any]


def data(workers: int, samples: int, dim: int) -> tuple[Array, Array]:
    stream = np.random.default_rng(0)
    return stream.normal(size=(workers, samples, dim)), stream.normal(size=(workers, samples))


def solved(x: Array, y: Array) -> Array:
    workers = len(x)
    return least_squares(torch.from_numpy(x), torch.from_numpy(y), equal_weights(workers))


def expected(x: Array, y: Array) -> Array:
    rows = x.reshape(-1, x.shape[2]).astype(np.float64)
    return np.linalg.lstsq(rows, y.ravel().astype(np.float64), rcond=1e-14)[0]


def with_decaying_samples(decades: int, dtype: type = np.float64) -> tuple[Array, Array]:
    """More parameters than are solved directly, and samples from large to small."""
    x, y = data(2, 20, DIRECT_DIM + 10)
    scale = np.logspace(0, -decades, 40).reshape(2, 20, 1)
    return (x * scale).astype(dtype), y.astype(dtype)


def test_underdetermined_data_have_the_shortest_solution() -> None:
    x, y = data(2, 3, 9)
    assert np.allclose(solved(x, y), np.linalg.pinv(x.reshape(-1, 9)) @ y.ravel(), atol=1e-9)


@pytest.mark.parametrize("decades", [0, 1, 2, 3])
def test_many_parameters_have_the_shortest_solution(decades: int) -> None:
    x, y = with_decaying_samples(decades)
    reference = expected(x, y)
    assert np.linalg.norm(solved(x, y) - reference) < 1e-10 * np.linalg.norm(reference)


@pytest.mark.parametrize("decades", [0, 1, 2, 3])
def test_the_iterative_solution_is_the_direct_one(
    monkeypatch: pytest.MonkeyPatch, decades: int
) -> None:
    x, y = data(3, 200, 30)
    x *= np.logspace(0, -decades, 30)
    direct = solved(x, y)
    monkeypatch.setattr(module, "DIRECT_DIM", 10)
    assert np.allclose(solved(x, y), direct, rtol=1e-9, atol=0)


def test_float32_data_are_solved_to_their_precision() -> None:
    x, y = with_decaying_samples(1, np.float32)
    reference = expected(x, y)
    assert np.linalg.norm(solved(x, y) - reference) < 1e-5 * np.linalg.norm(reference)


@pytest.mark.parametrize("decades", [6, 12])
def test_a_solution_that_is_not_found_is_an_error(decades: int) -> None:
    x, y = with_decaying_samples(decades)
    with pytest.raises(rb.ConfigurationError, match="for 3010 parameters was not found"):
        rb.LinearRegression(x, y)


def test_targets_of_zero_are_solved_by_zero() -> None:
    x, y = data(2, 2, DIRECT_DIM + 1)
    assert not solved(x, np.zeros_like(y)).any()


def test_features_whose_squares_overflow_are_refused() -> None:
    x, y = data(2, 9, 4)
    with pytest.raises(rb.ConfigurationError, match="overflow"):
        rb.LinearRegression(x * 1e200, y)
