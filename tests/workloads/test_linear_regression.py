from __future__ import annotations

import os
import pickle
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch

import regtopk_bench as rb


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


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    optima = []
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        with threadpoolctl.threadpool_limits(threads):
            optima.append(rb.LinearRegression.synthetic(workers=5).optimum)
    torch.set_num_threads(before)
    assert np.array_equal(optima[0], optima[1])
    assert np.array_equal(optima[0], optima[2])


def test_weights_shift_the_optimum() -> None:
    x, y = data()
    workload = rb.LinearRegression(x, y, weights_N=[2.0, 1.0, 1.0])
    scale = np.sqrt(workload.weights_N.numpy())[:, None]
    rows, right = (x * scale[..., None]).reshape(-1, 5), (y * scale).ravel()
    expected, *_ = np.linalg.lstsq(rows, right, rcond=None)
    assert np.allclose(workload.optimum, expected, atol=1e-12)
    mean = workload.weights_N[:, None] * workload.gradients(torch.from_numpy(expected), range(3), 0)
    assert torch.allclose(mean.sum(dim=0), torch.zeros(5, dtype=torch.float64), atol=1e-12)


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
        (lambda x, y: (x + 1j, y), "features are complex"),
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


def with_memory(monkeypatch: pytest.MonkeyPatch, mebibytes: float) -> None:
    """Let this be a machine of so much memory."""
    facts = {"SC_PAGE_SIZE": 2**10, "SC_PHYS_PAGES": int(mebibytes * 2**10)}
    monkeypatch.setattr(os, "sysconf", facts.__getitem__)


def test_gram_matrices_larger_than_memory_are_refused_before_anything_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_memory(monkeypatch, 3.0)  # features take 0.76 MiB, as do their copies; matrices 1.53
    with monkeypatch.context() as undrawn:
        undrawn.setattr(np.random, "default_rng", None)
        with pytest.raises(rb.ConfigurationError, match=r"features .*, curvature .* copies"):
            rb.LinearRegression.synthetic(workers=20, samples=50, dim=100)
    with_memory(monkeypatch, 3.1)
    rb.LinearRegression.synthetic(workers=20, samples=50, dim=100)


def test_own_data_whose_gram_matrices_are_larger_than_memory_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = data(workers=20, samples=50, dim=100)
    with_memory(monkeypatch, 2.2)
    with pytest.raises(rb.ConfigurationError, match=r"\(curvature matrices .*, working copies"):
        rb.LinearRegression(x, y)
    with_memory(monkeypatch, 2.3)
    rb.LinearRegression(x, y)


def test_without_gram_matrices_features_need_no_more_than_their_own_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_memory(monkeypatch, 0.5)  # features take 0.46 MiB, and Gram matrices would take 27
    rb.LinearRegression.synthetic(workers=40, samples=5, dim=300)
    x, y = data(workers=40, samples=5, dim=300)
    with_memory(monkeypatch, 0.1)  # own features may lie in a mapped file
    rb.LinearRegression(x, y)


@pytest.mark.parametrize("dim", [5, 60])  # curvature and slope, or features and targets
def test_the_identity_of_own_data_follows_their_bits(dim: int) -> None:
    x, y = data(dim=dim)
    moved, weighted = y.copy(), [0.5, 0.25, 0.25]
    moved[2, 3] += 1e-9
    given: list[tuple[Any, ...]] = [
        (x, y),
        (x[[2, 1, 0]], y[[2, 1, 0]]),
        (x, moved),
        (x * 1.5, y),
        (x.astype(np.float32), y),
        (x, y, weighted),
    ]
    identities = [str(rb.LinearRegression(*each).identity) for each in given]
    assert len(set(identities)) == len(given)
    assert str(rb.LinearRegression(x.copy(), y.copy()).identity) == identities[0]


def test_the_identity_of_a_synthetic_instance_is_what_it_is_drawn_from() -> None:
    usual: dict[str, Any] = {"workers": 3, "samples": 9, "dim": 4, "seed": 1}
    changes: list[dict[str, Any]] = [
        {},
        {"workers": 4},
        {"samples": 8},
        {"dim": 5},
        {"seed": 2},
        {"mean_variance": 4.0},
        {"model_variance": 2.0},
        {"noise_variance": 0.0},
        {"dtype": torch.float32},
    ]
    identities = [
        str(rb.LinearRegression.synthetic(**usual | change).identity) for change in changes
    ]
    assert len(set(identities)) == len(changes)
    identity = rb.LinearRegression.synthetic(**usual).identity
    assert (identity["samples"], identity["seed"], identity["noise_variance"]) == (9, 1, 0.5)
    assert "data" not in identity
