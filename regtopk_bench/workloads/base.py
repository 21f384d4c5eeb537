"""What a workload is: the problem that the workers solve together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.errors import ConfigurationError


class Workload(ABC):
    """A loss for each of N workers, over the same J parameters.

    A workload must be picklable: every process of a pool gets it once. Its gradients may
    depend on the parameters, the worker and the round only, so that a worker computes the
    same bits wherever it lives. It is called with one computing thread.
    """

    workers: int
    """N, the number of workers."""

    dim: int
    """J, the number of parameters."""

    dtype: torch.dtype
    """dtype of parameters and gradients."""

    device: torch.device = torch.device("cpu")
    """Where parameters and gradients live."""

    weights_N: Tensor
    """ω, the share of each worker in the aggregate; they add up to 1."""

    @abstractmethod
    def initial_parameters(self, seed: int) -> Tensor:
        """Return θ⁰, (J,)."""

    @abstractmethod
    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return the gradient of each worker of a shard, (n, J); rounds count from 0."""

    @abstractmethod
    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """Return every metric of each of T parameter vectors, (T,)."""


def equal_weights(workers: int) -> Tensor:
    """Return ω_n = 1/N, (N,) float64."""
    return torch.full((workers,), 1.0 / workers, dtype=torch.float64)


def as_float_tensor(values: Any, name: str, dims: int) -> Tensor:
    """Return an array or tensor as a float tensor on the CPU, without copying if it can.

    Raises:
        ConfigurationError: If it is not numeric or has another number of dimensions.
    """
    try:
        tensor = torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{name} cannot be read as an array: {error}") from error
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.to(torch.float64)
    if tensor.dim() != dims:
        raise ConfigurationError(
            f"{name} has shape {tuple(tensor.shape)}: expected {dims} dimensions"
        )
    return tensor


def check_all_finite(values_N: Tensor, name: str) -> None:
    """Raise ConfigurationError at the first worker whose values hold NaN or infinity."""
    for worker, values in enumerate(values_N):
        finite = values.isfinite()
        if not finite.all():
            first = (~finite).nonzero()[0].tolist()
            raise ConfigurationError(
                f"{name} of worker {worker} hold {int((~finite).sum())} values that are not "
                f"finite, the first at {first}"
            )


def in_shared_memory(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy of it, in memory that other processes can map.

    A copy, because moving a tensor's own memory would leave NumPy views of it dangling.
    """
    if tensor.is_shared():
        return tensor
    shared: Tensor = torch.empty_like(tensor).share_memory_()
    return shared.copy_(tensor)
