"""What compression has saved so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Statistics:
    """Bytes of one rank, dense iterations included."""

    iterations: int = 0
    """Iterations finished."""

    bytes_before: int = 0
    """Bytes of the gradients."""

    bytes_after: int = 0
    """Bytes that the rank has handed over in their place: the gradient itself in a dense
    iteration, else its message, and what its sparsifier asked other ranks. Headers and what makes
    messages equally long are not counted, nor what other ranks have sent."""

    @property
    def rate(self) -> float:
        """How many times fewer bytes there were after than before; 1 before the first iteration."""
        return self.bytes_before / self.bytes_after if self.bytes_after else 1.0
