"""The compression step: accumulate, score, select exactly, and keep the rest.

`step` is the one operation that every sparsifier with error feedback is built on.
`reference` defines correctness; the other modules compute the same bits faster.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from regtopk_bench.kernels import reference
from regtopk_bench.kernels.checks import check_finite, check_outputs
from regtopk_bench.kernels.guess import Guess

__all__ = [
    "Guess",
    "Implementation",
    "check_finite",
    "gather",
    "implementation",
    "ratio",
    "scatter_sum",
    "select",
    "step",
    "weighted_sum",
]

_MODULES = {"reference": "reference", "numba": "numba_cpu", "triton": "triton_gpu"}


def step(
    residual_NJ: Tensor,
    grad_NJ: Tensor,
    k: int,
    corrected_Nk: Tensor | None = None,
    factors_Nk: Tensor | None = None,
    guesses: Sequence[Guess] | None = None,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Run one compression step for a batch of workers, exactly.

    With a = residual + grad, the k entries with the largest score |a| are taken out of
    a, ties going to the lower index, and what is left becomes the residual. The score of
    the entries named by `corrected_Nk` is multiplied by `factors_Nk` first.

    Args:
        residual_NJ: What each worker has not sent so far, float; updated in place.
        grad_NJ: Gradients, same shape, dtype and device; not changed.
        k: Entries to select per worker, 1 ≤ k ≤ J.
        corrected_Nk: Ascending indices per worker whose score is corrected, int64.
        factors_Nk: Their factors, at least 0, same dtype as the residual.
        guesses: What each worker remembers about its thresholds, updated. Guesses make steps on
            large rows faster; the result is the same.
        out: Buffers for the two returned tensors, contiguous and of their shapes and dtypes.
            They must not share memory with `corrected_Nk` or `factors_Nk`, which are read while
            the buffers are written. Writing large messages is faster to memory that has been
            written before.

    Returns:
        Indices (N, k), int64, ascending, and the values of a there, (N, k).

    Raises:
        ConfigurationError: If `out` is not as described.
        NonFiniteGradientError: If a holds NaN or infinity; the residual is then unusable.
    """
    if out is not None:
        check_outputs(out, residual_NJ, k, corrected_Nk, factors_Nk)
    return _for(residual_NJ).step(residual_NJ, grad_NJ, k, corrected_Nk, factors_Nk, guesses, out)


def scatter_sum(indices_Nk: Tensor, values_Nk: Tensor, weights_N: Tensor, dim: int) -> Tensor:
    """Return Σ ω_n · scatter(indices_n, values_n), (J,), added up in worker order.

    Args:
        indices_Nk: Distinct indices in each row, int64; a padded row may repeat an index
            where its values are 0.
        values_Nk: Values at these indices, float.
        weights_N: ω, same dtype and device as the values.
        dim: J.
    """
    return _for(values_Nk).scatter_sum(indices_Nk, values_Nk, weights_N, dim)


def weighted_sum(values_NJ: Tensor, weights_N: Tensor) -> Tensor:
    """Return Σ ω_n · values_n, (J,), added up in worker order like `scatter_sum`."""
    return _for(values_NJ).weighted_sum(values_NJ, weights_N)


def gather(total_J: Tensor, indices_Nk: Tensor) -> Tensor:
    """Return total[indices_n], (N, k): the entries of a total at each worker's indices.

    Args:
        total_J: A sum over workers, float.
        indices_Nk: Indices into it, int64.
    """
    return _for(total_J).gather(total_J, indices_Nk)


def ratio(received_Nk: Tensor, sent_Nk: Tensor, weights_N: Tensor, scale: float) -> Tensor:
    """Return |received_n / (ω_n · sent_n)| / scale, (N, k): a total against a worker's share.

    Args:
        received_Nk: The total at the entries that the worker has sent, float.
        sent_Nk: The values it sent there, same dtype. Where ω_n · sent is 0, the ratio is infinite.
        weights_N: ω, same dtype.
        scale: Divisor of the ratios, not 0.
    """
    return _for(sent_Nk).ratio(received_Nk, sent_Nk, weights_N, scale)


def select(score_NJ: Tensor, k: int) -> Tensor:
    """Return the indices (N, k), ascending, of the k largest scores of each row.

    Ties go to the lower index. Scores are at least 0 and finite.
    """
    return _for(score_NJ).select(score_NJ, k)


class Implementation(Protocol):
    """A module with the functions described above."""

    # ruff: noqa: D102

    def step(
        self,
        residual_NJ: Tensor,
        grad_NJ: Tensor,
        k: int,
        corrected_Nk: Tensor | None = None,
        factors_Nk: Tensor | None = None,
        guesses: Sequence[Guess] | None = None,
        out: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]: ...

    def scatter_sum(
        self, indices_Nk: Tensor, values_Nk: Tensor, weights_N: Tensor, dim: int
    ) -> Tensor: ...

    def weighted_sum(self, values_NJ: Tensor, weights_N: Tensor) -> Tensor: ...

    def gather(self, total_J: Tensor, indices_Nk: Tensor) -> Tensor: ...

    def ratio(
        self, received_Nk: Tensor, sent_Nk: Tensor, weights_N: Tensor, scale: float
    ) -> Tensor: ...

    def select(self, score_NJ: Tensor, k: int) -> Tensor: ...

    def release(self) -> None:
        """Free the memory kept between steps."""


@functools.cache
def implementation(name: str) -> Implementation | None:
    """Return "reference", "numba" or "triton"; None, after one warning, if it does not load."""
    try:
        module = importlib.import_module(f"regtopk_bench.kernels.{_MODULES[name]}")
    except (ImportError, OSError) as error:
        warnings.warn(
            f"the {name} kernels cannot be loaded ({error}); the plain PyTorch ones serve, "
            "which are exact but slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return cast(Implementation, module)


def _for(tensor: Tensor) -> Implementation:
    """Return the implementation for tensors of this kind."""
    if tensor.dtype in (torch.float32, torch.float64):
        name = "numba" if tensor.device.type == "cpu" else "triton"
        return implementation(name) or reference
    return reference
