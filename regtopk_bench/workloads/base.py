"""What a workload is: the problem that the workers solve together."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.errors import ConfigurationError

Scalar = str | int | float | bool | None

_BLOCK_ROWS = 32


class Workload(ABC):
    """A loss for each of N workers, over the same J parameters.

    A workload must be picklable, because every process of a pool gets a copy. Its gradients
    may depend on nothing but the parameters, the worker and the round, so that a worker
    computes the same bits in any process. It is called with one compute thread.
    """

    workers: int
    """N, the number of workers."""

    dim: int
    """J, the number of parameters."""

    dtype: torch.dtype
    """dtype of parameters and gradients."""

    device: torch.device = torch.device("cpu")
    """Device of parameters and gradients."""

    weights_N: Tensor
    """ω, the share of each worker in the aggregate, (N,); the shares add up to 1."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors whose entries, one tensor after another, are the J parameters."""
        return ((self.dim,),)

    @property
    def identity(self) -> dict[str, Scalar]:
        """What determines the gradients, apart from parameters, worker and round.

        A checkpoint is resumed only on a workload of equal identity, so a workload adds its own
        data and hyper-parameters, large ones as a `digest`, and as `seed` what it draws batches or
        data from, if anything: `simulate_seeds` sees to it that it changes. Scalars only, for JSON.
        """
        kind = type(self)
        return {
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "workers": self.workers,
            "dim": self.dim,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "weights": digest(self.weights_N),
        }

    @abstractmethod
    def initial_parameters(self, seed: int) -> Tensor:
        """Return θ⁰, (J,)."""

    @abstractmethod
    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return the gradients of some consecutive workers, (n, J); rounds count from 0."""

    @abstractmethod
    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """Return every metric of each of T parameter vectors, (T,).

        Those of one must not depend on the others: how many come at once depends on checkpoints.
        If products of matrices are involved, see `by_blocks`.
        """


def by_blocks(
    of_rows: Callable[[NDArray[Any]], NDArray[Any]], rows_TJ: NDArray[Any]
) -> NDArray[Any]:
    """Apply a function of some rows, (t, J) to (t,), so that none depends on how many there are.

    A matrix product may round a row differently with how many others it has: here it always has as
    many, if need be zeros.
    """
    parts = []
    for start in range(0, max(1, len(rows_TJ)), _BLOCK_ROWS):
        part = rows_TJ[start : start + _BLOCK_ROWS]
        missing = _BLOCK_ROWS - len(part)
        whole = np.pad(part, ((0, missing), (0, 0))) if missing else part
        parts.append(of_rows(whole)[: len(part)])
    return np.concatenate(parts)


def equal_weights(workers: int) -> Tensor:
    """Return ω_n = 1/N, (N,) float64."""
    return torch.full((workers,), 1.0 / workers, dtype=torch.float64)


def scaled_weights(weights_N: Any, workers: int) -> Tensor:
    """Return the share ω of each worker, scaled to add up to 1, (N,) float64; equal when None.

    Raises:
        ConfigurationError: If there is not one for each worker, finite and above 0.
    """
    if weights_N is None:
        return equal_weights(workers)
    weights = as_float_tensor(weights_N, "weights", 1).double()
    if not bool((weights > 0.0).all() and weights.sum().isfinite()):
        raise ConfigurationError("weights are not all finite and above 0")
    if len(weights) != workers:
        raise ConfigurationError(f"{len(weights)} weights for {workers} workers")
    return weights / weights.sum()


def digest(*arrays: Tensor | NDArray[Any]) -> str:
    """Return the first 16 hex digits of a SHA-256 over arrays: their dtypes, shapes and bits."""
    content = hashlib.sha256()
    for array in arrays:
        values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
        content.update(f"{values.dtype}{values.shape}".encode())
        content.update(np.ascontiguousarray(values).data)
    return content.hexdigest()[:16]


def text_digest(text: str) -> str:
    """Return the first 16 hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def as_float_tensor(values: Any, name: str, dims: int) -> Tensor:
    """Return an array or tensor as a float tensor on the CPU, without copying if possible.

    Raises:
        ConfigurationError: If it does not hold real numbers or has another number of dimensions.
    """
    try:
        tensor = torch.as_tensor(values).detach().cpu().resolve_neg()
        if tensor.is_nested or tensor.layout is not torch.strided:
            raise TypeError("a plain one is needed")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{name} cannot be read as an array: {reason}") from error
    if tensor.is_complex():
        raise ConfigurationError(f"{name} are complex: expected real numbers")
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.to(torch.float64)
    if tensor.dim() != dims:
        raise ConfigurationError(
            f"{name} has shape {tuple(tensor.shape)}: expected {dims} dimensions"
        )
    return tensor


def check_all_finite(values_N: Tensor, name: str) -> None:
    """Raise ConfigurationError for the first worker whose values hold NaN or infinity."""
    for worker, values in enumerate(values_N):
        finite = values.isfinite()
        if not finite.all():
            first = (~finite).nonzero()[0].tolist()
            raise ConfigurationError(
                f"{name} of worker {worker} hold {int((~finite).sum())} values that are not "
                f"finite, the first at {first}"
            )
