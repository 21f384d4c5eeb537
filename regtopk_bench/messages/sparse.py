"""Some entries of each worker's gradient: indices and values."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.messages.base import Message
from regtopk_bench.messages.encoding import Encoding


class SparseGradient(Message):
    """The entries that each worker sends; their number may differ between workers.

    Attributes:
        indices: (n, k) int64, distinct and ascending in each row.
        values: (n, k), in the gradient's dtype.
        dim: J.
    """

    def __init__(
        self, indices: Tensor, values: Tensor, dim: int, counts: Tensor | None = None
    ) -> None:
        """Combine indices and values.

        Args:
            indices: See above.
            values: See above.
            dim: J, the length of the gradients that the entries were taken from.
            counts: (n,) int64, where workers send different numbers of entries, 0 included:
                row n then ends after `counts[n]` entries and is padded with index 0 and
                value 0. None if all of them send k.
        """
        self.indices, self.values, self.dim, self._counts = indices, values, dim, counts

    @property
    def counts(self) -> Tensor:
        """How many entries each worker sends, (n,) int64."""
        if self._counts is None:
            self._counts = self.indices.new_full((len(self.indices),), self.indices.shape[1])
        return self._counts

    def rows(self) -> tuple[Tensor, ...]:
        """Return counts, indices and values; see `Message.rows`."""
        return self.counts, self.indices, self.values

    def gathered(self, rows: Sequence[Tensor]) -> SparseGradient:
        """See `Message.gathered`."""
        counts_N, indices_Nk, values_Nk = rows
        return SparseGradient(indices_Nk, values_Nk, self.dim, counts_N)

    def to_dense(self) -> Tensor:
        """Return the gradients with 0 where nothing was sent, (n, J)."""
        dense_NJ = self.values.new_zeros(len(self.values), self.dim)
        return dense_NJ.scatter_add_(1, self.indices, self.values)  # padding adds 0

    def total(self, weights_N: Tensor) -> Tensor:
        """See `Message.total`."""
        return kernels.scatter_sum(self.indices, self.values, weights_N, self.dim)

    @property
    def encoding(self) -> str:
        """The encoding, in words."""
        return str(Encoding.of(self.dim, self.values.dtype))

    def bytes_N(self) -> Sequence[int]:
        """See `Message.bytes_N`."""
        encoding, dim = Encoding.of(self.dim, self.values.dtype), self.dim
        if self._counts is None:
            return [encoding.size(self.indices.shape[1], dim)] * len(self.indices)
        return [encoding.size(count, dim) for count in self._counts.tolist()]
