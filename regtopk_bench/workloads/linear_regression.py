"""Linear regression with each worker's own data, and the paper's synthetic instance."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench import memory
from regtopk_bench.arguments import is_real, shown, whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.shared import in_shared_memory, shared_empty
from regtopk_bench.threads import single_threaded
from regtopk_bench.workloads.base import (
    Scalar,
    Workload,
    as_float_tensor,
    by_blocks,
    check_all_finite,
    digest,
    scaled_weights,
)
from regtopk_bench.workloads.least_squares import least_squares

_BLOCK_BYTES = 2**21
_SUM_BLOCK = 2**16
_SHARED_BYTES = 2**28


class LinearRegression(Workload):
    """Mean squared error of a linear model: f_n(θ) = ‖X_n θ - y_n‖² / D.

    The gradient is g_n = (2/D) X_nᵀ(X_n θ - y_n). Where that takes fewer operations (J ≤ 2D), it
    is computed in Gram form, as H_n θ - b_n with the curvature H_n = (2/D) X_nᵀX_n and the slope
    b_n = (2/D) X_nᵀy_n, and the features are not kept.

    Metrics: `gap` = ‖θ - θ*‖², where θ* is the least-squares solution over all workers' data,
    and `loss` = Σ ω_n f_n(θ), both float64.

    Args:
        features_NDJ: X, arrays or tensors, float32 or float64, the dtype of the run.
        targets_ND: y.
        weights_N: ω, the share of each worker, scaled to add up to 1; equal when None.

    Raises:
        ConfigurationError: If shapes do not fit, a value is not finite, memory is too small for
            the Gram form, or θ* cannot be found.
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
        self.weights_N = scaled_weights(weights_N, self.workers)

        _check_memory(self.workers, samples, self.dim, self.dtype, drawn=False)
        self._drawn_from: dict[str, Scalar] = {}
        self._features, self._targets = features, targets
        self._gram = _gram_form_is_cheaper(samples, self.dim)
        with single_threaded():  # which bits come out must not depend on the number of cores
            if self._gram:
                self._curvature, self._slope = _gram_form(features, targets)
            self.optimum = least_squares(features, targets, self.weights_N)
            self._optimal_loss = self._loss_from_features(self.optimum[None])
            if self._gram:
                self._mean_curvature = _weighted_sum(self._curvature, self.weights_N).numpy()
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
        worker draws from its own stream, so its data do not depend on the number of
        workers.

        Raises:
            ConfigurationError: If an argument is out of range, or memory is too small.
        """
        workers, samples = whole(workers, "workers", 1), whole(samples, "samples", 1)
        dim, seed = whole(dim, "dim", 1), whole(seed, "seed")
        variances = (mean_variance, model_variance, noise_variance)
        if not all(is_real(variance) and variance >= 0.0 for variance in variances):
            raise ConfigurationError(
                f"variances {shown(variances)} are not all finite and at least 0"
            )
        if dtype not in (torch.float32, torch.float64):
            raise ConfigurationError(f"dtype {shown(dtype)} is neither float32 nor float64")
        _check_memory(workers, samples, dim, dtype, drawn=True)
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
        workload = cls(features, targets)
        workload._drawn_from = {
            "samples": samples,
            "mean_variance": float(mean_variance),
            "model_variance": float(model_variance),
            "noise_variance": float(noise_variance),
            "seed": int(seed),
        }
        return workload

    @property
    def identity(self) -> dict[str, Scalar]:
        """See `Workload.identity`.

        A synthetic instance is identified by what it was drawn from, because machines round
        its matrices differently. A user's data are identified by a digest: of features and targets,
        or in Gram form, which does not keep them, of curvature and slope.
        """
        return super().identity | (self._drawn_from or {"data": self._data_digest})

    @functools.cached_property
    def _data_digest(self) -> str:
        if self._gram:
            return digest(self._curvature, self._slope)
        return digest(self._features, self._targets)

    def initial_parameters(self, seed: int) -> Tensor:
        """Draw θ⁰ uniformly from ±1/√J."""
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        bound = 1.0 / math.sqrt(self.dim)
        return torch.from_numpy(stream.uniform(-bound, bound, self.dim)).to(self.dtype)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return g_n of each worker, (n, J), on all its data in every round."""
        theta = parameters_J.numpy()
        rows = slice(workers.start, workers.stop)
        # NumPy multiplies one worker's matrix at a time, so a worker's bits do not depend on
        # which others share its process.
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
                loss = self._optimal_loss + 0.5 * by_blocks(self._bend, away_TJ)
            else:
                loss = by_blocks(self._loss_from_features, parameters_TJ.numpy())
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
        """Cut a range of workers into blocks whose features stay in cache between two products."""
        per_worker = self._features[0].numel() * self._features.itemsize
        step = max(1, _BLOCK_BYTES // per_worker)
        for start in range(workers.start, workers.stop, step):
            yield slice(start, min(start + step, workers.stop))

    def _bend(self, away_TJ: NDArray[np.float64]) -> NDArray[np.float64]:
        bend_T: NDArray[np.float64] = np.einsum("tj,tj->t", away_TJ @ self._mean_curvature, away_TJ)
        return bend_T

    def _loss_from_features(self, parameters_TJ: NDArray[Any]) -> NDArray[np.float64]:
        loss_T = torch.zeros(len(parameters_TJ), dtype=torch.float64)
        theta_JT = torch.from_numpy(parameters_TJ).to(self.dtype).T.contiguous()
        for x, y, share in zip(self._features, self._targets, self.weights_N, strict=True):
            error_DT = x @ theta_JT - y[:, None]
            loss_T += share * error_DT.double().square().mean(dim=0)
        return loss_T.numpy()


def _gram_form_is_cheaper(samples: int, dim: int) -> bool:
    return dim <= 2 * samples


def _gram_form(features_NDJ: Tensor, targets_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Return H_n = (2/D) X_nᵀX_n, (N, J, J), and b_n = (2/D) X_nᵀy_n, (N, J)."""
    scaled_NJD = (features_NDJ * (2.0 / features_NDJ.shape[1])).transpose(1, 2)
    return scaled_NJD @ features_NDJ, (scaled_NJD @ targets_ND[:, :, None])[:, :, 0]


def _weighted_sum(matrices_NJJ: Tensor, weights_N: Tensor) -> Tensor:
    """Return Σ ω_n M_n, (J, J) float64, a few entries at a time, because products take memory."""
    workers, dim, _ = matrices_NJJ.shape
    total_JJ = torch.empty(dim, dim, dtype=torch.float64)
    blocks = zip(
        total_JJ.view(-1).split(_SUM_BLOCK),
        matrices_NJJ.view(workers, -1).split(_SUM_BLOCK, dim=1),
        strict=True,
    )
    for out, block in blocks:
        torch.sum(block.double() * weights_N[:, None], dim=0, out=out)
    return total_JJ


def _empty(workers: int, samples: int, dim: int, dtype: torch.dtype) -> Tensor:
    """Allocate features; large ones where a pool can map them, to have them in memory once."""
    shape = (workers, samples, dim)
    if math.prod(shape) * dtype.itemsize < _SHARED_BYTES:
        return torch.empty(shape, dtype=dtype)
    return shared_empty(shape, dtype)


def _check_memory(workers: int, samples: int, dim: int, dtype: torch.dtype, *, drawn: bool) -> None:
    """Raise ConfigurationError if the data cannot fit, to avoid being killed while computing.

    This peak covers the copies that a pool maps: matrices are copied when features are gone.
    """
    features = workers * samples * dim * dtype.itemsize
    parts = {"features": features} if drawn else {}
    if _gram_form_is_cheaper(samples, dim):
        parts["curvature matrices"] = workers * dim**2 * dtype.itemsize
        parts["working copies"] = max(features, dim**2 * torch.float64.itemsize)
    needed = sum(parts.values())
    if needed > memory.present():
        each = ", ".join(f"{name} {size / 2**30:.1f}" for name, size in parts.items())
        raise ConfigurationError(
            f"the problem takes {needed / 2**30:.1f} GiB ({each}) and this machine has "
            f"{memory.present() / 2**30:.1f}: lower workers, samples or dim"
        )
