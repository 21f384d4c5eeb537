"""The compression step: accumulate, score, select exactly, and keep the rest.

`step` is the one operation that every sparsifier with error feedback is built on.
`reference` defines correctness; the other modules compute the same bits faster.

The functions here check what they are given. `unchecked` leads past the checks, for messages and
states, which have made them already: once for each message, not in every kernel. On a CPU, no
kernel reads or writes outside its tensors in any case.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from regtopk_bench.arguments import whole
from regtopk_bench.errors import ConfigurationError, MissingPackageError
from regtopk_bench.extras import needed_by
from regtopk_bench.kernels import reference
from regtopk_bench.kernels.checks import (
    check_ascending,
    check_divisor,
    check_finite,
    check_floats,
    check_indices,
    check_step,
    check_tensor,
    check_weights,
    check_within,
    described,
)
from regtopk_bench.kernels.guess import Guess

__all__ = [
    "Guess",
    "Implementation",
    "absence",
    "check_ascending",
    "check_divisor",
    "check_finite",
    "check_floats",
    "check_indices",
    "check_tensor",
    "check_weights",
    "check_within",
    "described",
    "gather",
    "implementation",
    "over_bytes",
    "ratio",
    "scatter_sum",
    "select",
    "step",
    "unchecked",
    "weighted_sum",
]

_COMPILED = (torch.float32, torch.float64)

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
        residual_NJ: What each worker has not sent so far, float and contiguous; updated in place.
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
        ConfigurationError: If an argument is not as described.
        NonFiniteGradientError: If a holds NaN or infinity; the residual is then unusable.
    """
    check_step(residual_NJ, grad_NJ, k, corrected_Nk, factors_Nk, guesses, out)
    return unchecked(residual_NJ).step(
        residual_NJ, grad_NJ, k, corrected_Nk, factors_Nk, guesses, out
    )


def scatter_sum(
    indices_Nk: Tensor,
    values_Nk: Tensor,
    weights_N: Tensor,
    dim: int,
    out: Tensor | None = None,
) -> Tensor:
    """Return Σ ω_n · scatter(indices_n, values_n), (J,), added up in worker order.

    Args:
        indices_Nk: Distinct indices in each row, int64; a padded row may repeat an index
            where its values are 0.
        values_Nk: Values at these indices, float.
        weights_N: ω, same dtype and device as the values.
        dim: J.
        out: Memory for the result, (J,), same dtype and device as the values. Memory that has been
            written before is written faster.

    Raises:
        ConfigurationError: If the tensors do not fit together, or an index is out of range.
    """
    check_floats(values_Nk, "values")
    check_tensor(indices_Nk, "indices", values_Nk.shape, torch.int64, values_Nk.device)
    check_weights(weights_N, values_Nk)
    check_within(indices_Nk, whole(dim, "dim", 1))
    if out is not None:
        check_tensor(out, "out", (dim,), values_Nk.dtype, values_Nk.device)
    return unchecked(values_Nk).scatter_sum(indices_Nk, values_Nk, weights_N, dim, out)


def weighted_sum(values_NJ: Tensor, weights_N: Tensor) -> Tensor:
    """Return Σ ω_n · values_n, (J,), added up in worker order like `scatter_sum`.

    Raises:
        ConfigurationError: If the tensors do not fit together.
    """
    check_floats(values_NJ, "values")
    check_weights(weights_N, values_NJ)
    return unchecked(values_NJ).weighted_sum(values_NJ, weights_N)


def gather(total_J: Tensor, indices_Nk: Tensor) -> Tensor:
    """Return total[indices_n], (N, k): the entries of a total at each worker's indices.

    Args:
        total_J: A sum over workers, float.
        indices_Nk: Indices into it, int64.

    Raises:
        ConfigurationError: If the tensors do not fit together, or an index is out of range.
    """
    check_floats(total_J, "total", 1)
    check_indices(indices_Nk, None, total_J.device)
    check_within(indices_Nk, len(total_J))
    return unchecked(total_J).gather(total_J, indices_Nk)


def ratio(received_Nk: Tensor, sent_Nk: Tensor, weights_N: Tensor, scale: float) -> Tensor:
    """Return |received_n / (ω_n · sent_n)| / scale, (N, k): a total against a worker's share.

    Args:
        received_Nk: The total at the entries that the worker has sent, float.
        sent_Nk: The values it sent there, same dtype. Where ω_n · sent is 0, the ratio is infinite.
        weights_N: ω, same dtype.
        scale: Divisor of the ratios, above 0.

    Raises:
        ConfigurationError: If the tensors do not fit together, or their dtype has no such divisor.
    """
    check_floats(sent_Nk, "sent")
    check_tensor(received_Nk, "received", sent_Nk.shape, sent_Nk.dtype, sent_Nk.device)
    check_weights(weights_N, sent_Nk)
    check_divisor(scale, "scale", sent_Nk.dtype)
    return unchecked(sent_Nk).ratio(received_Nk, sent_Nk, weights_N, scale)


def select(score_NJ: Tensor, k: int) -> Tensor:
    """Return the indices (N, k), ascending, of the k largest scores of each row.

    Ties go to the lower index. Scores are at least 0 and finite.

    Raises:
        ConfigurationError: If they are not, or there are no k of them.
    """
    check_floats(score_NJ, "scores")
    whole(k, "k", 1, score_NJ.shape[1])
    if not bool(((score_NJ >= 0.0) & score_NJ.isfinite()).all()):
        raise ConfigurationError("scores: expected finite numbers from 0 up")
    return unchecked(score_NJ).select(score_NJ.abs(), k)  # -0 becomes 0


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
        self,
        indices_Nk: Tensor,
        values_Nk: Tensor,
        weights_N: Tensor,
        dim: int,
        out: Tensor | None = None,
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
    """Return "reference", "numba" or "triton"; None, after one warning, if it does not load.

    A dotted name is that of a module elsewhere, with at least a `step` and a `select`.

    Raises:
        ConfigurationError: If such a module cannot be imported, or lacks them.
    """
    if name not in _MODULES:
        return _from_outside(name)
    module = _own(name)
    if isinstance(module, str):
        warnings.warn(
            f"{module}; the plain PyTorch kernels serve, which are exact but slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return module


@functools.cache
def over_bytes(name: str) -> Any:
    """Return the module "gaps" or "sums": compiled if Numba is there, in NumPy if it is not."""
    home = "numba_cpu." if implementation("numba") else ""
    return importlib.import_module(f"regtopk_bench.kernels.{home}{name}")


def absence(name: str) -> str | None:
    """Return why an implementation of this package does not load, if so, and what to install."""
    module = _own(name) if name in _MODULES else None
    return module if isinstance(module, str) else None


@functools.cache
def _own(name: str) -> Implementation | str:
    """Return an implementation of this package, or why it does not load."""
    try:
        with needed_by(f"the {name} implementation"):
            module = importlib.import_module(f"regtopk_bench.kernels.{_MODULES[name]}")
    except MissingPackageError as error:
        return str(error)
    except (ImportError, OSError) as error:
        return f"the {name} kernels cannot be loaded ({error})"
    return cast(Implementation, module)


def _from_outside(name: str) -> Implementation:
    if "" not in sys.path:  # as for a script
        sys.path.append("")
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a foreign module may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(f'kernels "{name}" cannot be imported: {reason}') from error
    for needed in ("step", "select"):
        if not callable(getattr(module, needed, None)):
            raise ConfigurationError(
                f'kernels "{name}" have no function {needed}: see regtopk_bench.kernels'
            )
    return cast(Implementation, module)


def unchecked(tensor: Tensor) -> Implementation:
    """Return the implementation for tensors of this kind, which trusts what it is given."""
    if tensor.dtype not in _COMPILED:
        return reference
    return implementation("numba" if tensor.is_cpu else "triton") or reference
