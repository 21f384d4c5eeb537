"""Whole gradients, as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.arguments import whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages import raw
from regtopk_bench.messages.base import Message
from regtopk_bench.messages.encoding import Encoding, damaged


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

    def stated(self, encoding: Encoding) -> str:
        """See `Message.stated`."""
        return encoding.stated(self.dim, self.values.itemsize)

    def sizes_N(self, encoding: Encoding) -> Sequence[int]:
        """See `Message.sizes_N`."""
        return [self.dim * self.values.itemsize] * len(self.values)

    def fixed_size(self, encoding: Encoding) -> int:
        """See `Message.fixed_size`."""
        return self.dim * self.values.itemsize

    def write(self, worker: int, encoding: Encoding, out: Array) -> int:
        """See `Message.write`."""
        return raw.write((self.values,), worker, out)

    def from_bodies(self, bodies: Sequence[Array], encoding: Encoding) -> DenseGradient:
        """See `Message.from_bodies`."""
        size = self.fixed_size(encoding)
        for body in bodies:
            if len(body) != size:
                raise damaged(f"{len(body)} bytes are not a gradient, which takes {size}")
        values_NJ = torch.from_numpy(np.stack(bodies)).view(self.values.dtype)
        return DenseGradient(values_NJ.to(self.values.device), trusted=True)
