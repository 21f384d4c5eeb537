"""The operations compiled with Numba, for rows that fit in cache.

The bits of a non-negative float, read as an integer, order like the float itself. So the
threshold is found by bisecting integers until exactly k scores reach it: each probe is one
count over the row, which the compiler turns into vector instructions. Only equal scores at
the k-th place make the bisection run to its end, and then the lowest indices among them win.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels.checks import check_finite

_F = TypeVar("_F", bound=Callable[..., Any])
_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}
BITS: dict[Any, Any] = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


UNUSABLE = (
    "tensors of a step do not fit together, or an entry's correction is out of range or NaN, as "
    "after feedback with an aggregate that is not finite"
)


def compiled(function: _F) -> _F:
    """Compile on the first call, and cache the machine code on disk if possible."""
    try:
        return numba.njit(cache=True, nogil=True)(function)  # type: ignore[return-value]
    except RuntimeError:  # no folder to write to
        return numba.njit(nogil=True)(function)  # type: ignore[return-value]


def step(
    residual_NJ: Tensor,
    grad_NJ: Tensor,
    k: int,
    corrected_Nk: Tensor | None,
    factors_Nk: Tensor | None,
    out: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """See `regtopk_bench.kernels.step`."""
    residual = residual_NJ.numpy()
    bits_J = np.empty(residual.shape[1], BITS[residual.dtype])
    indices_Nk, values_Nk = out or outputs(len(residual), k, residual.dtype)
    positions, values = indices_Nk.numpy(), values_Nk.numpy()
    if corrected_Nk is None or factors_Nk is None:
        corrected, factors = positions[:, :0], values[:, :0]
    else:
        corrected, factors = corrected_Nk.numpy(), factors_Nk.numpy()
    if not _step(residual, grad_NJ.numpy(), corrected, factors, bits_J, positions, values):
        check_finite(residual_NJ)
        raise ConfigurationError(UNUSABLE)
    return indices_Nk, values_Nk


def outputs(workers: int, k: int, dtype: np.dtype[Any]) -> tuple[Tensor, Tensor]:
    """Return buffers for indices and values; NumPy asks for huge pages, PyTorch does not."""
    return (
        torch.from_numpy(np.empty((workers, k), np.int64)),
        torch.from_numpy(np.empty((workers, k), dtype)),
    )


@compiled
def within(indices_Nk: NDArray[Any], dim: int) -> bool:
    """Tell whether all indices are from 0 to `dim` - 1: one pass, in vector instructions."""
    low, high = 0, dim - 1
    for n in range(indices_Nk.shape[0]):
        for i in range(indices_Nk.shape[1]):
            low = min(low, indices_Nk[n, i])
            high = max(high, indices_Nk[n, i])
    return low == 0 and high == dim - 1


@compiled
def _step(
    residual_NJ: NDArray[Any],
    grad_NJ: NDArray[Any],
    corrected_Nk: NDArray[Any],
    factors_Nk: NDArray[Any],
    bits_J: NDArray[Any],
    positions_Nk: NDArray[Any],
    values_Nk: NDArray[Any],
) -> bool:
    """Step every row; return False at the first row that is not finite, or cannot be corrected."""
    workers, dim = residual_NJ.shape
    shape = positions_Nk.shape
    if grad_NJ.shape != residual_NJ.shape or shape != values_Nk.shape or shape[0] != workers:
        return False
    if factors_Nk.shape != corrected_Nk.shape or len(corrected_Nk) != workers:
        return False
    if not 1 <= shape[1] <= dim or not within(corrected_Nk, dim):
        return False
    score_J = bits_J.view(residual_NJ.dtype)
    score_J[0] = np.inf
    infinity = bits_J[0]
    for n in range(workers):
        for j in range(dim):
            accumulated = residual_NJ[n, j] + grad_NJ[n, j]
            residual_NJ[n, j] = accumulated
            score_J[j] = abs(accumulated)
        largest = bits_J[0]
        for j in range(dim):
            largest = max(largest, bits_J[j])
        if largest >= infinity:  # the bits of NaN are larger still
            return False
        for i in range(corrected_Nk.shape[1]):
            j = corrected_Nk[n, i]
            score_J[j] *= factors_Nk[n, i]
            largest = max(largest, bits_J[j])  # a factor may exceed 1
        if largest > infinity:
            return False

        take(residual_NJ[n], bits_J, largest, positions_Nk[n], values_Nk[n])
    return True


@compiled
def take(
    row_J: NDArray[Any],
    bits_J: NDArray[Any],
    largest: Any,
    positions_k: NDArray[Any],
    values_k: NDArray[Any],
) -> None:
    """Take the entries with the k largest scores out of a row."""
    k = len(positions_k)
    low, reached = threshold(bits_J, largest, k)
    write = j = 0
    if reached == k:
        while write < k:  # writes each entry before it is known whether it is selected
            positions_k[write] = j
            values_k[write] = row_J[j]
            write += bits_J[j] >= low
            j += 1
        for j in range(len(row_J)):
            row_J[j] = 0.0 if bits_J[j] >= low else row_J[j]
        return
    room = room_for_equals(bits_J, low, k)
    for j in range(len(row_J)):
        equal = bits_J[j] == low
        if bits_J[j] > low or (equal and room > 0):
            room -= equal
            positions_k[write] = j
            values_k[write] = row_J[j]
            row_J[j] = 0.0
            write += 1


@compiled
def threshold(bits_J: NDArray[Any], largest: Any, k: int) -> tuple[Any, int]:
    """Return a threshold that k scores reach (more only if some equal it), and their number."""
    low, high = largest - largest, largest + 1  # k or more scores reach low, fewer high
    reached = len(bits_J)
    while reached != k and high - low > 1:
        middle = low + ((high - low) >> 1)
        count = 0
        for j in range(len(bits_J)):
            count += bits_J[j] >= middle
        if count >= k:
            low, reached = middle, count
        else:
            high = middle
    return low, reached


@compiled
def room_for_equals(bits_J: NDArray[Any], low: Any, k: int) -> int:
    """Return how many of the scores that equal the threshold are among the first k."""
    room = k
    for j in range(len(bits_J)):
        room -= bits_J[j] > low
    return room


def select(score_NJ: Tensor, k: int) -> Tensor:
    """See `regtopk_bench.kernels.select`."""
    score = score_NJ.contiguous().numpy()
    positions = np.empty(len(score) * k, np.int64)
    _select(score.view(BITS[score.dtype]), k, positions)
    return torch.from_numpy(positions.reshape(len(score), k))


@compiled
def _select(bits_NJ: NDArray[Any], k: int, positions: NDArray[Any]) -> None:
    write = 0
    for bits_J in bits_NJ:
        low, _ = threshold(bits_J, bits_J.max(), k)
        room = room_for_equals(bits_J, low, k)
        for j in range(len(bits_J)):
            equal = bits_J[j] == low
            if bits_J[j] > low or (equal and room > 0):
                room -= equal
                positions[write] = j
                write += 1


def scatter_sum(
    indices_Nk: Tensor,
    values_Nk: Tensor,
    weights_N: Tensor,
    dim: int,
    out: Tensor | None = None,
) -> Tensor:
    """See `regtopk_bench.kernels.scatter_sum`."""
    total_J = (
        torch.from_numpy(np.zeros(dim, _NUMPY[values_Nk.dtype])) if out is None else out.zero_()
    )
    arrays = indices_Nk.numpy(), values_Nk.numpy(), weights_N.numpy(), total_J.numpy()
    if not _scatter_sum(*arrays):
        raise ConfigurationError(
            "messages and weights do not fit together, or an index is too large"
        )
    return total_J


@compiled
def _scatter_sum(
    indices_Nk: NDArray[Any],
    values_Nk: NDArray[Any],
    weights_N: NDArray[Any],
    total_J: NDArray[Any],
) -> bool:
    workers, k = values_Nk.shape
    if indices_Nk.shape != values_Nk.shape or len(weights_N) != workers:
        return False
    if not within(indices_Nk, len(total_J)):
        return False
    for n in range(workers):
        for i in range(k):
            total_J[indices_Nk[n, i]] += weights_N[n] * values_Nk[n, i]
    return True


def weighted_sum(values_NJ: Tensor, weights_N: Tensor) -> Tensor:
    """See `regtopk_bench.kernels.weighted_sum`."""
    values = values_NJ.numpy()
    total_J = np.zeros(values.shape[1], values.dtype)
    if not _weighted_sum(values, weights_N.numpy(), total_J):
        raise ConfigurationError("messages and weights do not fit together")
    return torch.from_numpy(total_J)


@compiled
def _weighted_sum(values_NJ: NDArray[Any], weights_N: NDArray[Any], total_J: NDArray[Any]) -> bool:
    workers, dim = values_NJ.shape
    if len(weights_N) != workers:
        return False
    for n in range(workers):
        for j in range(dim):
            total_J[j] += weights_N[n] * values_NJ[n, j]
    return True


def gather(total_J: Tensor, indices_Nk: Tensor) -> Tensor:
    """See `regtopk_bench.kernels.gather`."""
    indices, total = indices_Nk.numpy(), total_J.numpy()
    values_Nk = np.empty(indices.shape, total.dtype)
    if not _gather(total, indices, values_Nk):
        raise ConfigurationError(f"an index is not among the {len(total)} entries of the total")
    return torch.from_numpy(values_Nk)


@compiled
def _gather(total_J: NDArray[Any], indices_Nk: NDArray[Any], values_Nk: NDArray[Any]) -> bool:
    workers, k = values_Nk.shape
    if not within(indices_Nk, len(total_J)):
        return False
    for n in range(workers):
        for i in range(k):
            values_Nk[n, i] = total_J[indices_Nk[n, i]]
    return True


def ratio(received_Nk: Tensor, sent_Nk: Tensor, weights_N: Tensor, scale: float) -> Tensor:
    """See `regtopk_bench.kernels.ratio`."""
    sent = sent_Nk.numpy()
    ratio_Nk = np.empty_like(sent)
    received, weights = received_Nk.numpy(), weights_N.numpy()
    if not _ratio(received, sent, weights, sent.dtype.type(scale), ratio_Nk):
        raise ConfigurationError("what was sent, what was received and weights do not fit together")
    return torch.from_numpy(ratio_Nk)


@compiled
def _ratio(
    received_Nk: NDArray[Any],
    sent_Nk: NDArray[Any],
    weights_N: NDArray[Any],
    scale: Any,
    ratio_Nk: NDArray[Any],
) -> bool:
    workers, k = sent_Nk.shape
    if received_Nk.shape != sent_Nk.shape or len(weights_N) != workers:
        return False
    for n in range(workers):
        for i in range(k):
            part = weights_N[n] * sent_Nk[n, i]
            ratio_Nk[n, i] = np.inf
            if part != 0.0:
                ratio_Nk[n, i] = abs(received_Nk[n, i] / part) / scale
    return True
