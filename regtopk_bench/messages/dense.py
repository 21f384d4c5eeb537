"""Whole gradients, as they are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from regtopk_bench.messages.base import Message
from regtopk_bench.messages.encoding import Encoding


class DenseGradient(Message):
    """All J entries of each worker's gradient, which need no indices.

    Attributes:
        values: (n, J), in the gradient's dtype.
        dim: J.
    """

    def __init__(self, values: Tensor) -> None:
        """Send these gradients, (n, J)."""
        self.values, self.dim = values, values.shape[1]

    def rows(self) -> tuple[Tensor, ...]:
        """See `Message.rows`."""
        return (self.values,)

    def gathered(self, rows: Sequence[Tensor]) -> DenseGradient:
        """See `Message.gathered`."""
        return DenseGradient(*rows)

    def to_dense(self) -> Tensor:
        """Return the gradients, (n, J)."""
        return self.values

    @property
    def encoding(self) -> str:
        """The encoding, in words."""
        return str(Encoding.of(self.dim, self.values.dtype))

    def bytes_N(self) -> Sequence[int]:
        """See `Message.bytes_N`."""
        return [self.dim * self.values.itemsize] * len(self.values)
