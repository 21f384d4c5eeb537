"""Whole gradients, as they are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.arguments import whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages.base import Message
from regtopk_bench.messages.encoding import Encoding


class DenseGradient(Message):
    """All J entries of each worker's gradient, which need no indices.

    Attributes:
        values: (n, J), in the gradient's dtype.
        dim: J.
    """

    def __init__(self, values: Tensor, *, trusted: bool = False) -> None:
        """Send these gradients, (n, J).

        Args:
            values: See above.
            trusted: Whether they are known to be as described, and need not be checked.

        Raises:
            ConfigurationError: If they are not a plain tensor of floats.
        """
        if not trusted:
            kernels.check_floats(values, "gradients")
            whole(values.shape[1], "entries of a gradient", 1)
        self.values, self.dim = values, values.shape[1]

    def __len__(self) -> int:
        """Return n."""
        return len(self.values)

    def rows(self) -> tuple[Tensor, ...]:
        """See `Message.rows`."""
        return (self.values,)

    def gathered(self, rows: Sequence[Tensor]) -> DenseGradient:
        """See `Message.gathered`."""
        if len(rows) != 1:
            raise ConfigurationError(f"messages of 1 tensor cannot be made of {len(rows)}")
        return DenseGradient(*rows)

    def to_dense(self) -> Tensor:
        """Return the gradients, (n, J)."""
        return self.values

    def total(self, weights_N: Tensor) -> Tensor:
        """See `Message.total`."""
        kernels.check_weights(weights_N, self.values)
        return kernels.unchecked(self.values).weighted_sum(self.values, weights_N)

    @property
    def encoding(self) -> str:
        """The encoding, in words."""
        return str(Encoding.of(self.dim, self.values.dtype))

    def bytes_N(self) -> Sequence[int]:
        """See `Message.bytes_N`."""
        return [self.dim * self.values.itemsize] * len(self.values)
