"""Messages as the bytes that travel: as many as `Message.bytes_N` counts, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError, RunError, failures_of
from regtopk_bench.messages.base import Message, check_message
from regtopk_bench.messages.encoding import Encoding

M = TypeVar("M", bound=Message)


def pack(message: Message, encoding: Encoding) -> list[Tensor]:
    """Return the bytes of each worker's message, uint8 tensors (bytes,) on the CPU.

    Raises:
        ConfigurationError: If this is no message.
        RunError: If a message of a kind from outside the package fails, or has another length than
            it says.
    """
    check_message(message, "message")
    kind = type(message).__name__
    with failures_of(f"messages of kind {kind}, when packed,"):
        bodies, sizes = message.bodies(encoding), list(message.bytes_N(encoding))
    if [len(body) for body in bodies] != sizes:
        raise RunError(
            f"messages of kind {kind} say that they have {sizes} bytes, and have "
            f"{[len(body) for body in bodies]}"
        )
    return bodies


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
    bodies = [content.cpu() for content in packed]
    with failures_of(f"messages of kind {type(like).__name__}, when unpacked,"):
        return like.from_bodies(bodies, encoding)
