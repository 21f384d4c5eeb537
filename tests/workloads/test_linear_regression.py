from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch

import regtopk_bench as rb
from regtopk_bench.workloads import linear_regression


def data(
    workers: int = 3, samples: int = 12, dim: int = 5, seed: int = 0
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    stream = np.random.default_rng(seed)
    return stream.normal(size=(workers, samples, dim)), stream.normal(size=(workers, samples))


@pytest.mark.parametrize("dim", [5, 60])  # through H_n, and through X_n
def test_gradients_are_those_of_the_loss(dim: int) -> None:
    x, y = data(dim=dim)
    workload = rb.LinearRegression(x, y)
    theta = torch.randn(dim, dtype=torch.float64, requires_grad=True)
    got = workload.gradients(theta.detach(), range(3), 0)
    for n in range(3):
        loss = (torch.from_numpy(x[n]) @ theta - torch.from_numpy(y[n])).square().mean()
        (expected,) = torch.autograd.grad(loss, theta)
        assert torch.allclose(got[n], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dim", [7, 60])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_workers_bits_do_not_depend_on_its_shard(dim: int, dtype: Any) -> None:
    x, y = data(workers=7, dim=dim)
    workload = rb.LinearRegression(x.astype(dtype), y.astype(dtype))
    theta = torch.randn(dim, dtype=workload.dtype)
    whole = workload.gradients(theta, range(7), 0)
    for start, stop in [(0, 1), (1, 4), (3, 7), (6, 7)]:
        assert torch.equal(workload.gradients(theta, range(start, stop), 0), whole[start:stop])


@pytest.mark.parametrize("dim", [5, 60])
def test_metrics_are_the_definition(dim: int) -> None:
    x, y = data(samples=100, dim=dim)
    workload = rb.LinearRegression(x, y)
    expected, *_ = np.linalg.lstsq(x.reshape(-1, dim), y.ravel(), rcond=None)
    assert np.allclose(workload.optimum, expected, rtol=0, atol=1e-13)
    thetas = torch.randn(4, dim, dtype=torch.float64)
    metrics = workload.metrics(thetas)
    for t, theta in enumerate(thetas.numpy()):
        assert metrics["gap"][t] == pytest.approx(((theta - expected) ** 2).sum(), rel=1e-12)
        assert metrics["loss"][t] == pytest.approx(((x @ theta - y) ** 2).mean(), rel=1e-12)


def test_weights_shift_the_optimum() -> None:
    x, y = data()
    workload = rb.LinearRegression(x, y, weights_N=[2.0, 1.0, 1.0])
    scale = np.sqrt(workload.weights_N.numpy())[:, None]
    rows, right = (x * scale[..., None]).reshape(-1, 5), (y * scale).ravel()
    expected, *_ = np.linalg.lstsq(rows, right, rcond=None)
    assert np.allclose(workload.optimum, expected, atol=1e-12)
    mean = workload.weights_N[:, None] * workload.gradients(torch.from_numpy(expected), range(3), 0)
    assert torch.allclose(mean.sum(dim=0), torch.zeros(5, dtype=torch.float64), atol=1e-12)


def test_underdetermined_data_have_the_shortest_optimum() -> None:
    x, y = data(workers=2, samples=3, dim=9)
    expected = np.linalg.pinv(x.reshape(-1, 9)) @ y.ravel()
    assert np.allclose(rb.LinearRegression(x, y).optimum, expected, atol=1e-9)


def test_the_iterative_solution_is_the_direct_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(samples=200, dim=30)
    direct = rb.LinearRegression(x, y).optimum
    monkeypatch.setattr(linear_regression, "_DIRECT_SOLVE_DIM", 10)
    assert np.allclose(rb.LinearRegression(x, y).optimum, direct, atol=1e-12)


def test_synthetic_data_follow_the_paper() -> None:
    workload = rb.LinearRegression.synthetic(workers=400, samples=20, dim=60, seed=1)
    x, y = workload._features, workload._targets
    assert x.mean().abs() < 0.01
    assert x.std() == pytest.approx(1.0, abs=0.01)
    # Var(y) = J (mean_variance + model_variance) + noise_variance
    assert float(y.var()) == pytest.approx(60 * 6.0 + 0.5, rel=0.15)


def test_a_workers_data_do_not_depend_on_the_others() -> None:
    few = rb.LinearRegression.synthetic(workers=2, samples=3, dim=8, seed=4)
    many = rb.LinearRegression.synthetic(workers=5, samples=3, dim=8, seed=4)
    assert torch.equal(few._features, many._features[:2])
    assert torch.equal(few._targets, many._targets[:2])
    other = rb.LinearRegression.synthetic(workers=2, samples=3, dim=8, seed=5)
    assert not torch.equal(few._features, other._features)


@pytest.mark.parametrize("dim", [5, 60])
def test_pickling_keeps_the_bits_and_the_callers_memory(dim: int) -> None:
    x, y = data(dim=dim)
    before = x.copy()
    workload = rb.LinearRegression(x, y)
    theta = torch.randn(dim, dtype=torch.float64)
    expected = workload.gradients(theta, range(3), 0)
    restored = pickle.loads(pickle.dumps(workload))
    assert torch.equal(restored.gradients(theta, range(3), 0), expected)
    assert torch.equal(workload.gradients(theta, range(3), 0), expected)
    assert np.array_equal(x, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[0], y), "expected 3 dimensions"),
        (lambda x, y: (x, y[:2]), r"need targets of shape \(3, 12\)"),
        (lambda x, y: (x, y[:, :4]), r"not \(3, 4\)"),
        (lambda x, y: (x[:, :0], y[:, :0]), "need targets"),
        (lambda x, y: (x, np.where(y == y[1, 2], np.nan, y)), r"targets of worker 1 .* at \[2\]"),
        (lambda x, y: (np.where(x == x[2, 0, 3], np.inf, x), y), r"features of worker 2"),
        (lambda x, y: (x.astype(str), y), "cannot be read as an array"),
    ],
)
def test_unusable_data_are_refused(change: Any, message: str) -> None:
    with pytest.raises(rb.ConfigurationError, match=message):
        rb.LinearRegression(*change(*data()))


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 0}, {"dim": -1}, {"noise_variance": -1.0}, {"mean_variance": float("nan")}],
)
def test_impossible_problems_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(rb.ConfigurationError):
        rb.LinearRegression.synthetic(**wrong)


def test_problems_larger_than_memory_are_refused_before_they_are_drawn() -> None:
    with pytest.raises(rb.ConfigurationError, match="GiB"):
        rb.LinearRegression.synthetic(workers=10**6, samples=10**4, dim=10**4)
