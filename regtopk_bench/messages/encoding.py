"""How the entries of a gradient are written for their way, by name."""

from __future__ import annotations

import enum
from typing import Any, Self

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError, RunError


class Encoding(enum.StrEnum):
    """How a sparse message is written, and so what its bytes are.

    In any of them, m entries out of J are sent as a plain vector of J values, without indices,
    where that takes no more bytes: the length tells the receiver which. Numbers are little-endian.
    Framing is up to the transport and not counted.
    """

    COORDINATES = "coordinates"
    """m indices of 4 bytes each (8 above 2³² entries), then m values."""

    COMPACT = "compact"
    """The gaps between m indices in a few bits each, m values, and a checksum of 8 bytes.

    A message on its way may be cut short or changed, and most of it is values, in which that would
    not show. With the checksum it is an error."""

    @classmethod
    def named(cls, name: Any) -> Self:
        """Return the encoding of a name.

        Raises:
            ConfigurationError: If it is none.
        """
        try:
            return cls(name)
        except ValueError:
            raise ConfigurationError(
                f"encoding {shown(name)} is none of {', '.join(cls)}"
            ) from None

    @property
    def checksum_bytes(self) -> int:
        """Bytes of a message's checksum."""
        return 8 if self is Encoding.COMPACT else 0

    def stated(self, dim: int, value_bytes: int) -> str:
        """Return what is counted for gradients of `dim` entries, in words."""
        if self is Encoding.COMPACT:
            return (
                f"compact indices, {value_bytes}-byte values, {self.checksum_bytes}-byte checksum"
            )
        return f"{index_bytes(dim)}-byte indices, {value_bytes}-byte values"


def index_bytes(dim: int) -> int:
    """Return the bytes of an unsigned index among `dim` entries."""
    return 4 if dim <= 2**32 else 8


def damaged(reason: str) -> RunError:
    """Describe bytes that cannot be those of a message."""
    return RunError(f"damaged message: {reason}; it was changed or cut short on its way")
