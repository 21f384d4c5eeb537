"""Whole numbers from 0 up in as few bytes as they need: seven bits a byte, the lowest first."""

from __future__ import annotations

from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages.encoding import damaged

_MOST_BYTES = 9


def size(number: int) -> int:
    """Return how many bytes a number takes."""
    return max(1, -(-number.bit_length() // 7))


def encoded(number: int) -> bytes:
    """Return the bytes of a number; all but the last have their highest bit set."""
    groups = [number >> shift & 127 for shift in range(0, 7 * size(number), 7)]
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def decoded(content: Array, at: int) -> tuple[int, int]:
    """Return the number that starts at a byte, and where the next begins.

    Raises:
        RunError: If there is none, or not written in as few bytes as it needs.
    """
    number = 0
    for place, byte in enumerate(content[at : at + _MOST_BYTES].tolist()):
        number |= (byte & 127) << 7 * place
        if byte < 128:
            if place and not byte:
                break
            return number, at + place + 1
    raise damaged(f"no number at byte {at} of {len(content)}")
