"""Indices as they are: 4 bytes each, or 8 where gradients have more than 2³² entries."""

from __future__ import annotations

import torch
from torch import Tensor

from regtopk_bench.messages.encoding import damaged, index_bytes

_UNSIGNED = {4: torch.uint32, 8: torch.int64}


def size(entries: int, dim: int, value_bytes: int) -> int:
    """Return the bytes of a message with `entries` of `dim` entries; see `Encoding`."""
    return min(entries * (index_bytes(dim) + value_bytes), dim * value_bytes)


def write(indices_k: Tensor, dim: int) -> Tensor:
    """Return indices (k,) int64 as bytes."""
    return indices_k.to(_UNSIGNED[index_bytes(dim)]).contiguous().view(torch.uint8)


def read(body: Tensor, dim: int, value_bytes: int) -> tuple[Tensor, int]:
    """Return the indices at the start of a message, (k,) int64, and where its values begin.

    Raises:
        RunError: If there are no such indices.
    """
    entries, left = divmod(len(body), index_bytes(dim) + value_bytes)
    end = entries * index_bytes(dim)
    indices_k = body[:end].clone().view(_UNSIGNED[index_bytes(dim)]).long()
    if left or len(body) > dim * value_bytes:
        raise damaged(f"{len(body)} bytes are neither entries nor a gradient of {dim} entries")
    if bool((indices_k[1:] <= indices_k[:-1]).any()) or not bool(
        ((indices_k >= 0) & (indices_k < dim)).all()
    ):
        raise damaged(f"its indices do not ascend from 0 to {dim - 1}")
    return indices_k, end
