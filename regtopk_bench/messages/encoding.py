"""How the entries of a gradient are written for their way, by name."""

from __future__ import annotations

import enum

from regtopk_bench.errors import RunError


class Encoding(enum.StrEnum):
    """How a sparse message is written, and so what its bytes are.

    In any of them, m entries out of J are sent as a plain vector of J values, without indices,
    where that takes no more bytes: the length tells the receiver which. Numbers are little-endian.
    Framing is up to the transport and not counted.
    """

    COORDINATES = "coordinates"
    """m indices of 4 bytes each (8 above 2³² entries), then m values."""

    def stated(self, dim: int, value_bytes: int) -> str:
        """Return what is counted for gradients of `dim` entries, in words."""
        return f"{index_bytes(dim)}-byte indices, {value_bytes}-byte values"


def index_bytes(dim: int) -> int:
    """Return the bytes of an unsigned index among `dim` entries."""
    return 4 if dim <= 2**32 else 8


def damaged(reason: str) -> RunError:
    """Describe bytes that cannot be those of a message."""
    return RunError(f"damaged message: {reason}; it was changed or cut short on its way")
