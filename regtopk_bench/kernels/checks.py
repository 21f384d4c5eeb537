"""Checks of what kernels are given: tensors that fit together, and finite values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from regtopk_bench.arguments import is_real, shown, whole
from regtopk_bench.errors import ConfigurationError, NonFiniteGradientError
from regtopk_bench.kernels.guess import Guess

_STRIDED = torch.strided


def check_finite(values_NJ: Tensor) -> None:
    """Raise NonFiniteGradientError for the first row that holds NaN or infinity."""
    if math.isfinite(values_NJ.sum().item()):
        return
    bad_N = (~values_NJ.isfinite()).sum(dim=1)
    if bad_N.any():
        worker = int(bad_N.nonzero()[0])
        raise NonFiniteGradientError(worker, int(bad_N[worker]))


def check_tensor(
    tensor: Any, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device
) -> None:
    """Raise ConfigurationError unless this is a plain tensor like that.

    A plain one lies in memory with strides, which may be any, and records no gradients.
    """
    try:
        if (
            type(tensor) is Tensor
            and tensor.shape == shape
            and tensor.dtype == dtype
            and tensor.device == device
            and tensor.layout is _STRIDED
            and not (tensor.requires_grad or tensor.is_neg())
        ):
            return
    except RuntimeError:  # a nested tensor has no shape
        pass
    raise ConfigurationError(
        f"{name}: expected a plain tensor {tuple(shape)} {dtype} on {device}, "
        f"not {described(tensor)}"
    )


def check_floats(tensor: Any, name: str, dims: int = 2) -> None:
    """Raise ConfigurationError unless this is a plain tensor of floats with so many dimensions."""
    _check_dims(tensor, name, dims)
    if not tensor.is_floating_point() or tensor.is_meta:
        raise ConfigurationError(f"{name}: expected floats, not {described(tensor)}")
    check_tensor(tensor, name, tensor.shape, tensor.dtype, tensor.device)


def check_indices(indices_Nk: Any, workers: int | None, device: torch.device) -> None:
    """Raise ConfigurationError unless these are indices, whatever their values, in so many rows."""
    _check_dims(indices_Nk, "indices", 2)
    shape = (indices_Nk.shape[0] if workers is None else workers, indices_Nk.shape[1])
    check_tensor(indices_Nk, "indices", shape, torch.int64, device)


def _check_dims(tensor: Any, name: str, dims: int) -> None:
    if not isinstance(tensor, Tensor) or tensor.is_nested or tensor.dim() != dims:
        raise ConfigurationError(
            f"{name}: expected a tensor of {dims} dimension{'s' * (dims > 1)}, "
            f"not {described(tensor)}"
        )


def check_weights(weights_N: Any, values_Nk: Tensor) -> None:
    """Raise ConfigurationError unless there is a weight for each row, like its values."""
    check_tensor(weights_N, "weights", values_Nk.shape[:1], values_Nk.dtype, values_Nk.device)


def check_within(indices: Tensor, dim: int) -> None:
    """Raise ConfigurationError if an index is not from 0 to `dim` - 1."""
    if indices.numel():
        low, high = (int(end) for end in indices.aminmax())
        if not 0 <= low <= high < dim:
            raise ConfigurationError(
                f"index {low if low < 0 else high} is not among the {dim} entries of a gradient"
            )


def check_ascending(indices_Nk: Tensor, dim: int, except_Nk: Tensor | None = None) -> None:
    """Raise ConfigurationError unless indices ascend in each row, from 0 to `dim` - 1 at most.

    Where `except_Nk` is True, an index need not be above the one before it.
    """
    check_within(indices_Nk, dim)
    ascending = indices_Nk[:, 1:] > indices_Nk[:, :-1]
    if except_Nk is not None:
        ascending |= except_Nk[:, 1:]
    if not bool(ascending.all()):
        row = int((~ascending).any(dim=1).nonzero()[0])
        raise ConfigurationError(f"indices of row {row} are not distinct and ascending: sort them")


def check_divisor(value: Any, name: str, dtype: torch.dtype) -> None:
    """Raise ConfigurationError unless one can divide by this number, and by its reciprocal.

    Neither may be less than the smallest normal number: a GPU multiplies by the reciprocal, and
    beyond that precision is lost.
    """
    least = torch.finfo(dtype).tiny
    if not is_real(value) or not least <= value <= 1.0 / least:
        raise ConfigurationError(
            f"{name} {shown(value)} is not from {least:.3g} to {1.0 / least:.3g}, between which "
            f"{dtype} can divide by it"
        )


def check_step(
    residual_NJ: Tensor,
    grad_NJ: Tensor,
    k: int,
    corrected_Nk: Tensor | None,
    factors_Nk: Tensor | None,
    guesses: Sequence[Guess] | None,
    out: tuple[Tensor, Tensor] | None,
) -> None:
    """Raise ConfigurationError if a step cannot be made of these; see `kernels.step`."""
    check_floats(residual_NJ, "residual")
    like = residual_NJ.dtype, residual_NJ.device
    check_tensor(grad_NJ, "gradients", residual_NJ.shape, *like)
    workers, dim = residual_NJ.shape
    whole(k, "k", 1, dim)
    if not residual_NJ.is_contiguous():
        raise ConfigurationError("residual: expected a contiguous tensor, which can be updated")
    if (corrected_Nk is None) != (factors_Nk is None):
        raise ConfigurationError("corrected entries and their factors: give both or neither")
    if corrected_Nk is not None and factors_Nk is not None:
        check_floats(factors_Nk, "factors")
        shape = workers, factors_Nk.shape[1]
        check_tensor(factors_Nk, "factors", shape, *like)
        check_tensor(corrected_Nk, "corrected entries", shape, torch.int64, residual_NJ.device)
        check_ascending(corrected_Nk, dim)
        if not bool(((factors_Nk >= 0.0) & factors_Nk.isfinite()).all()):
            raise ConfigurationError("factors: expected finite numbers from 0 up")
    if guesses is not None:
        _check_guesses(guesses, workers)
    written = [residual_NJ]
    if out is not None:
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise ConfigurationError("out: expected two tensors, for indices and values")
        check_tensor(out[0], "out", (workers, k), torch.int64, residual_NJ.device)
        check_tensor(out[1], "out", (workers, k), *like)
        if not (out[0].is_contiguous() and out[1].is_contiguous()):
            raise ConfigurationError("out: expected contiguous tensors")
        written += out
    read = [each for each in (grad_NJ, corrected_Nk, factors_Nk) if each is not None]
    for number, each in enumerate(written):
        if any(_overlap(each, other) for other in [*written[number + 1 :], *read]):
            raise ConfigurationError("residual or out shares memory with another argument")


def _check_guesses(guesses: Sequence[Guess], workers: int) -> None:
    if not (
        isinstance(guesses, Sequence)
        and len(guesses) == workers
        and all(isinstance(guess, Guess) for guess in guesses)
        and all(guess.batch is guesses[0].batch for guess in guesses)
        and (guesses[0].batch is None or len(guesses[0].batch) == workers)
    ):
        raise ConfigurationError(f"guesses: expected one Guess for each of {workers} rows")


def _overlap(first: Tensor, second: Tensor) -> bool:
    """Tell whether two tensors reach over the same memory."""
    (start, end), (other_start, other_end) = _reach(first), _reach(second)
    return start < other_end and other_start < end


def _reach(tensor: Tensor) -> tuple[int, int]:
    """Return the addresses of a tensor's first byte and of the one after its last."""
    start = tensor.data_ptr()
    if not tensor.numel():
        return start, start
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = sum((size - 1) * stride for size, stride in steps)
    return start, start + (last + 1) * tensor.itemsize


def described(value: Any) -> str:
    """Return what a value is, in a few words."""
    kind = type(value).__name__
    if not isinstance(value, Tensor) or value.is_nested:
        return f"a {kind}"
    words = [f"{tuple(value.shape)} {value.dtype} on {value.device}"]
    if type(value) is not Tensor:
        words.append(f"of type {kind}")
    if value.layout is not torch.strided:
        words.append(f"in {value.layout} layout")
    if value.requires_grad:
        words.append("that requires gradients: detach it")
    elif value.is_neg():
        words.append("that is a negated view: resolve it")
    return " ".join(words)
