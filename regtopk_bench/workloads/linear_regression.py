"""Linear regression with each worker's own data, and the paper's synthetic instance."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.workloads.base import (
    Workload,
    as_float_tensor,
    check_all_finite,
    equal_weights,
    in_shared_memory,
)

_BLOCK_BYTES = 2**21
_DIRECT_SOLVE_DIM = 3000
_RANK_TOLERANCE = 1e-12


class LinearRegression(Workload):
    """Mean squared error of a linear model: f_n(θ) = ‖X_n θ - y_n‖² / D.

    The gradient g_n = (2/D) X_nᵀ(X_n θ - y_n) is computed as H_n θ - b_n with
    H_n = (2/D) X_nᵀX_n where that takes fewer operations (J ≤ 2D), else from X_n.

    Metrics: `gap` = ‖θ - θ*‖² to the least-squares solution θ* over all workers' data,
    and `loss` = Σ ω_n f_n(θ), both float64.

    Args:
        features_NDJ: X, arrays or tensors, float32 or float64, the dtype of the run.
        targets_ND: y.
        weights_N: ω, the share of each worker; 1/N each when None.

    Raises:
        ConfigurationError: If shapes do not fit or a value is not finite.
    """

    def __init__(self, features_NDJ: Any, targets_ND: Any, weights_N: Any = None) -> None:
        """Check the data, find the optimum and choose how to compute gradients."""
        features = as_float_tensor(features_NDJ, "features", 3).contiguous()
        targets = as_float_tensor(targets_ND, "targets", 2).to(features.dtype).contiguous()
        if targets.shape != features.shape[:2] or 0 in features.shape:
            raise ConfigurationError(
                f"features of shape {tuple(features.shape)} (workers, samples, parameters) need "
                f"targets of shape {tuple(features.shape[:2])}, not {tuple(targets.shape)}"
            )
        check_all_finite(features, "features")
        check_all_finite(targets, "targets")
        self.workers, samples, self.dim = features.shape
        self.dtype = features.dtype
        self.weights_N = equal_weights(self.workers) if weights_N is None else _shares(weights_N)
        if len(self.weights_N) != self.workers:
            raise ConfigurationError(f"{len(self.weights_N)} weights for {self.workers} workers")

        self._features, self._targets = features, targets
        self._gram = self.dim <= 2 * samples
        if self._gram:
            scaled = features * (2.0 / samples)
            self._curvature = scaled.transpose(1, 2) @ features
            self._slope = (scaled.transpose(1, 2) @ targets[:, :, None])[:, :, 0]
        self.optimum = self._solve()
        self._optimal_loss = self._loss_from_features(torch.from_numpy(self.optimum)[None])
        if self._gram:
            weighted = self._curvature.double() * self.weights_N[:, None, None]
            self._mean_curvature = weighted.sum(dim=0).numpy()
            del self._features, self._targets

    @classmethod
    def synthetic(
        cls,
        workers: int = 20,
        samples: int = 500,
        dim: int = 100,
        mean_variance: float = 5.0,
        model_variance: float = 1.0,
        noise_variance: float = 0.5,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> LinearRegression:
        """Draw the data of the paper's experiment (arXiv 2501.05633).

        Worker n has a mean u_n ~ N(0, mean_variance), a model t_n ~ N(u_n, model_variance)
        per entry, features x ~ N(0, I) and targets y = xᵀt_n + N(0, noise_variance). Each
        worker draws from its own stream, so its data does not depend on how many others
        there are.
        """
        for name, count in (("workers", workers), ("samples", samples), ("dim", dim)):
            if count < 1:
                raise ConfigurationError(f"{name} {count} is not at least 1")
        variances = (mean_variance, model_variance, noise_variance)
        if not all(math.isfinite(variance) and variance >= 0.0 for variance in variances):
            raise ConfigurationError(f"variances {variances} are not all finite and at least 0")
        _check_memory(workers * samples * dim * dtype.itemsize)
        features = _empty(workers, samples, dim, dtype)
        targets = torch.empty(workers, samples, dtype=dtype)
        numpy_dtype = features.numpy().dtype
        for worker in range(workers):
            stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, worker)))
            mean = math.sqrt(mean_variance) * stream.standard_normal()
            model = mean + math.sqrt(model_variance) * stream.standard_normal(dim)
            x = features[worker].numpy()
            stream.standard_normal(out=x, dtype=numpy_dtype)
            noise = math.sqrt(noise_variance) * stream.standard_normal(samples)
            targets[worker] = torch.from_numpy(x @ model.astype(numpy_dtype) + noise)
        return cls(features, targets)

    def initial_parameters(self, seed: int) -> Tensor:
        """Draw θ⁰ uniformly from ±1/√J."""
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        bound = 1.0 / math.sqrt(self.dim)
        return torch.from_numpy(stream.uniform(-bound, bound, self.dim)).to(self.dtype)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return g_n of a shard, (n, J). Full batch: every round is alike."""
        theta = parameters_J.numpy()
        rows = slice(workers.start, workers.stop)
        # NumPy multiplies one worker's matrix at a time, so that a worker's bits do not
        # depend on which others share its process.
        if self._gram:
            grad_NJ = np.matmul(self._gram_arrays[0][rows], theta)
            grad_NJ -= self._gram_arrays[1][rows]
            return torch.from_numpy(grad_NJ)
        grad_NJ = np.empty((len(workers), self.dim), theta.dtype)
        for block in self._blocks(workers):
            x, y = self._features[block].numpy(), self._targets[block].numpy()
            error = np.matmul(x, theta) - y
            error *= 2.0 / x.shape[1]
            out = grad_NJ[block.start - workers.start : block.stop - workers.start, None]
            np.matmul(error[:, None], x, out=out)
        return torch.from_numpy(grad_NJ)

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """Return `gap` and `loss` of each parameter vector, (T,)."""
        away_TJ = parameters_TJ.double().numpy() - self.optimum
        with np.errstate(over="ignore", invalid="ignore"):
            if self._gram:  # exact around the optimum, where the gradient vanishes
                bend = np.einsum("tj,tj->t", away_TJ @ self._mean_curvature, away_TJ)
                loss = self._optimal_loss + 0.5 * bend
            else:
                loss = self._loss_from_features(parameters_TJ)
            return {"gap": np.einsum("tj,tj->t", away_TJ, away_TJ), "loss": loss}

    @functools.cached_property
    def _gram_arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._curvature.numpy(), self._slope.numpy()

    def __getstate__(self) -> dict[str, Any]:
        """Let the processes of a pool map the data instead of copying it."""
        self.__dict__.pop("_gram_arrays", None)
        for name, value in self.__dict__.items():
            if isinstance(value, Tensor):
                self.__dict__[name] = in_shared_memory(value)
        return self.__dict__

    def _blocks(self, workers: range) -> Iterator[slice]:
        """Cut a shard into pieces whose features stay in cache between two products."""
        per_worker = self._features[0].numel() * self._features.itemsize
        step = max(1, _BLOCK_BYTES // per_worker)
        for start in range(workers.start, workers.stop, step):
            yield slice(start, min(start + step, workers.stop))

    def _loss_from_features(self, parameters_TJ: Tensor) -> NDArray[np.float64]:
        loss_T = torch.zeros(len(parameters_TJ), dtype=torch.float64)
        theta_JT = parameters_TJ.to(self.dtype).T.contiguous()
        for x, y, share in zip(self._features, self._targets, self.weights_N, strict=True):
            error_DT = x @ theta_JT - y[:, None]
            loss_T += share * error_DT.double().square().mean(dim=0)
        return loss_T.numpy()

    def _solve(self) -> NDArray[np.float64]:
        """Return θ*, the minimiser of Σ ω_n f_n."""
        if self.dim > _DIRECT_SOLVE_DIM:
            return self._solve_iteratively()
        samples = self._features.shape[1]
        normal_JJ = torch.zeros(self.dim, self.dim, dtype=torch.float64)
        right_J = torch.zeros(self.dim, dtype=torch.float64)
        for x, y, share in zip(self._features, self._targets, self.weights_N, strict=True):
            scaled = x.double() * (share / samples)
            normal_JJ += scaled.T @ x.double()
            right_J += scaled.T @ y.double()
        normal, right = normal_JJ.numpy(), right_J.numpy()
        eigenvalues = np.linalg.eigvalsh(normal)
        if eigenvalues[0] < _RANK_TOLERANCE * eigenvalues[-1]:  # the shortest of the solutions
            inverse = np.linalg.pinv(normal, rcond=_RANK_TOLERANCE, hermitian=True)
            return np.asarray(inverse @ right)
        solution = np.linalg.solve(normal, right)
        return np.asarray(solution + np.linalg.solve(normal, right - normal @ solution))

    def _solve_iteratively(self) -> NDArray[np.float64]:
        """Find θ* with LSMR, which needs no J × J matrix."""
        from scipy.sparse.linalg import LinearOperator, lsmr  # slow to import

        workers, samples, _ = self._features.shape
        scale_N = (self.weights_N / samples).sqrt()[:, None]
        x = self._features

        def forward(theta_J: NDArray[Any]) -> NDArray[Any]:
            theta = torch.from_numpy(theta_J.ravel()).to(x.dtype)
            return ((x @ theta).double() * scale_N).numpy().ravel()

        def backward(error: NDArray[Any]) -> NDArray[Any]:
            rows_ND = torch.from_numpy(error).view(workers, samples) * scale_N
            return (rows_ND.to(x.dtype).view(-1) @ x.view(-1, self.dim)).double().numpy()

        operator = LinearOperator(
            (workers * samples, self.dim), matvec=forward, rmatvec=backward, dtype=np.float64
        )
        right = (self._targets.double() * scale_N).numpy().ravel()
        return np.asarray(lsmr(operator, right, atol=1e-15, btol=1e-15)[0])


def _shares(weights_N: Any) -> Tensor:
    weights = as_float_tensor(weights_N, "weights", 1).double()
    if not bool((weights > 0.0).all() and weights.isfinite().all()):
        raise ConfigurationError("weights are not all finite and above 0")
    return weights / weights.sum()


def _empty(workers: int, samples: int, dim: int, dtype: torch.dtype) -> Tensor:
    """Allocate features; large ones where a pool can map them, so that they exist once."""
    features = torch.empty(workers, samples, dim, dtype=dtype)
    if features.nbytes < 2**28:
        return features
    with contextlib.suppress(RuntimeError):  # /dev/shm is too small, as in many containers
        features.share_memory_()
    return features


def _check_memory(needed: int) -> None:
    """Refuse data that cannot fit, rather than be killed while drawing them."""
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise ConfigurationError(
            f"the features take {needed / 2**30:.1f} GiB and this machine has "
            f"{present / 2**30:.1f}: lower workers, samples or dim"
        )
