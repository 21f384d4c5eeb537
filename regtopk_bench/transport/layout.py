"""How the tensors of a worker lie in its bytes: one after another, each aligned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from regtopk_bench.errors import RunError
from regtopk_bench.transport.header import Signature, check_compatible

_ALIGNMENT = 64


def signature_of(given: Sequence[tuple[torch.dtype, torch.Size]], workers: int) -> Signature:
    """Return the signature of tensors of these data types and shapes.

    Raises:
        RunError: If one does not have a row for each of the workers hosted here.
    """
    for _, shape in given:
        if not shape or shape[0] != workers:
            raise RunError(
                f"a process that hosts {workers} workers exchanges a tensor of shape "
                f"{tuple(shape)}; its first dimension must be {workers}"
            )
    return tuple((dtype, tuple(shape[1:])) for dtype, shape in given)


def width(signature: Signature) -> int:
    """Return how many bytes the rows of a worker take."""
    return sum(aligned(math.prod(shape) * dtype.itemsize) for dtype, shape in signature)


def views(rows: Tensor, signature: Signature) -> tuple[Tensor, ...]:
    """Return the tensors that lie in the bytes (n, room) of some workers.

    Raises:
        RunError: If they do not fit.
    """
    sizes = [math.prod(shape) * dtype.itemsize for dtype, shape in signature]
    starts = [0, *itertools.accumulate(map(aligned, sizes))]
    if starts[-1] > rows.shape[1]:
        raise RunError(
            f"the rows of a worker are too long to exchange: {starts[-1]:,} bytes, and at most "
            f"{rows.shape[1]:,} fit, the length of a message with every entry"
        )
    return tuple(
        rows[:, start : start + size].view(dtype).view(len(rows), *shape)
        for (dtype, shape), start, size in zip(signature, starts, sizes, strict=False)
    )


def combine(parts: Sequence[Tensor], signatures: Sequence[Signature]) -> tuple[Tensor, ...]:
    """Stack the rows of processes that lay them out differently, padded to the longest.

    Args:
        parts: The bytes (n, room) of each process's workers.
        signatures: How the rows lie in them.

    Raises:
        RunError: If they cannot be stacked; in every process that asks, with the same text.
    """
    check_compatible(signatures)
    each = (views(part, signature) for part, signature in zip(parts, signatures, strict=True))
    return tuple(_stack(tensors) for tensors in zip(*each, strict=True))


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """Stack the rows of all processes, padded with zeros to the longest."""
    if tensors[0].dim() == 1:
        return torch.cat(list(tensors))
    longest = max(tensor.shape[1] for tensor in tensors)
    workers = sum(len(tensor) for tensor in tensors)
    stacked = tensors[0].new_zeros(workers, longest, *tensors[0].shape[2:])
    places = stacked.split([len(tensor) for tensor in tensors])
    for place, tensor in zip(places, tensors, strict=True):
        place[:, : tensor.shape[1]] = tensor
    return stacked


def aligned(size: int) -> int:
    """Return the next multiple of a cache line."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT
