"""Rows as they are: stacked, and as the bytes of messages that have no encoding of their own.

The bytes of a worker are its row of each tensor, one after another. Where the second dimension of
a tensor may differ between processes, it is written before the row, as a varint; that of the last
such tensor follows from the length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages import varint
from regtopk_bench.messages.encoding import damaged


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Stack rows, padded with zeros to the longest."""
    if tensors[0].dim() < 2:
        return torch.cat(list(tensors))
    longest = max(tensor.shape[1] for tensor in tensors)
    total = sum(len(tensor) for tensor in tensors)
    together = tensors[0].new_zeros(total, longest, *tensors[0].shape[2:])
    start = 0
    for tensor in tensors:
        together[start : start + len(tensor), : tensor.shape[1]] = tensor
        start += len(tensor)
    return together


def size(rows: Sequence[Tensor]) -> int:
    """Return how many bytes each worker's rows take."""
    content = sum(map(_row_bytes, rows))
    return content + sum(varint.size(row.shape[1]) for row in _announced(rows))


def write(rows: Sequence[Tensor], worker: int, out: Array) -> int:
    """Write a worker's rows into bytes, of which there are enough; return how many."""
    announced, at = _announced(rows), 0
    for row in rows:
        pieces = [np.ascontiguousarray(as_array(row)[worker]).reshape(-1).view(np.uint8)]
        if any(row is each for each in announced):
            pieces.insert(0, np.frombuffer(varint.encoded(row.shape[1]), np.uint8))
        for piece in pieces:
            out[at : at + len(piece)] = piece
            at += len(piece)
    return at


def as_array(tensor: Tensor, sent_as: torch.dtype | None = None) -> Array:
    """Return a tensor as an array, in the same memory if possible; bfloat16 as 16 bits.

    Args:
        tensor: Any one.
        sent_as: The dtype to convert it to, if that is another.
    """
    if sent_as not in (None, tensor.dtype):
        tensor = tensor.to(sent_as)
    if not tensor.is_cpu or tensor.requires_grad:
        tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return np.asarray(tensor.numpy())


def as_numbers(content: Array, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    """Return bytes as what they stand for; the same memory."""
    if not len(content):  # NumPy's strides are then of no use
        return torch.empty(*shape, dtype=dtype)
    return torch.from_numpy(content).view(dtype).view(*shape)


def read(like: Sequence[Tensor], bodies: Sequence[Array]) -> list[Tensor]:
    """Return the rows of all the workers whose bytes are given, (len(bodies), …).

    Raises:
        RunError: If they cannot be the bytes of rows like these.
    """
    each = zip(*(_rows(like, body) for body in bodies), strict=True)
    return [stacked(own).to(row.device) for row, own in zip(like, each, strict=True)]


def _rows(like: Sequence[Tensor], body: Array) -> list[Tensor]:
    """Return one worker's rows, (1, …)."""
    announced, at = _announced(like), 0
    rows: list[Tensor] = []
    for row in like:
        shape, unit = [1, *row.shape[1:]], math.prod(row.shape[2:]) * row.itemsize
        if any(row is each for each in announced):
            shape[1], at = varint.decoded(body, at)
        elif row.dim() > 1 and unit:
            after = sum(_row_bytes(each) for each in like[len(rows) + 1 :])
            shape[1] = (len(body) - at - after) // unit
        end = at + math.prod(shape) * row.itemsize
        if not 0 <= at <= end <= len(body):
            raise damaged(f"{len(body)} bytes are too few")
        rows.append(as_numbers(body[at:end].copy(), row.dtype, shape))
        at = end
    if at != len(body):
        raise damaged(f"{len(body)} bytes are {len(body) - at} too many")
    return rows


def _announced(rows: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors whose second dimension is written before the row."""
    return [row for row in rows if row.dim() > 1][:-1]


def _row_bytes(row: Tensor) -> int:
    return math.prod(row.shape[1:]) * row.itemsize
