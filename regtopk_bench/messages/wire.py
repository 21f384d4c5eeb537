"""Messages as the bytes that travel: as many as `Message.bytes_N` counts, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError, RunError, failures_of
from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages.base import Message, check_message
from regtopk_bench.messages.checksum import checksum
from regtopk_bench.messages.dense import DenseGradient
from regtopk_bench.messages.encoding import Encoding, damaged
from regtopk_bench.messages.sparse import SparseGradient

M = TypeVar("M", bound=Message)

_OURS = (SparseGradient, DenseGradient)
"""Kinds that are known to count what they send."""


def pack(message: Message, encoding: Encoding) -> list[Tensor]:
    """Return the bytes of each worker's message, uint8 tensors (bytes,) on the CPU.

    Raises:
        ConfigurationError: If this is no message.
        RunError: If messages of a kind from outside the package fail, or have another length than
            they say.
    """
    check_message(message, "message")
    with failures_of(f"messages of kind {type(message).__name__}, when packed,"):
        packed = [_written(message, worker, encoding) for worker in range(len(message))]
        said = None if type(message) in _OURS else list(message.bytes_N(encoding))
    if said not in (None, [len(content) for content in packed]):
        raise RunError(
            f"messages of kind {type(message).__name__} say that they have {said} bytes, and have "
            f"{[len(content) for content in packed]}"
        )
    return packed


def _written(message: Message, worker: int, encoding: Encoding) -> Tensor:
    """Return the bytes of a worker's message, with their checksum."""
    room, more = message.room(encoding), encoding.checksum_bytes
    out = np.empty(room + more, np.uint8)
    size = message.write(worker, encoding, out[:room])
    if more:
        out[size : size + more] = checksum(out[:size])
    return torch.from_numpy(out[: size + more])


def unpack(like: M, packed: Sequence[Tensor], encoding: Encoding) -> M:
    """Return the messages of all the workers whose bytes are given, in that order.

    Args:
        like: A message of the same sparsifier, of any workers: it says what to expect, and where
            to put it.
        packed: What `pack` returned, there or elsewhere.
        encoding: How it was packed.

    Raises:
        ConfigurationError: If these are not the bytes of messages.
        RunError: If they are damaged.
    """
    check_message(like, "like")
    for content in packed:
        if not isinstance(content, Tensor) or content.dtype != torch.uint8 or content.dim() != 1:
            raise ConfigurationError("packed messages: expected uint8 tensors of one dimension")
    if not packed:
        raise ConfigurationError("packed messages: expected at least one")
    bodies = [content.cpu().numpy() for content in packed]
    if encoding.checksum_bytes:
        bodies = [_opened(body, encoding.checksum_bytes) for body in bodies]
    with failures_of(f"messages of kind {type(like).__name__}, when unpacked,"):
        return like.from_bodies(bodies, encoding)


def _opened(content: Array, more: int) -> Array:
    """Return bytes without their checksum, which must be theirs."""
    body = content[:-more]
    if not np.array_equal(checksum(body), content[-more:]):
        raise damaged(f"the checksum of {len(content)} bytes is wrong")
    return body
