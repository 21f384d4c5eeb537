"""Some entries of each worker's gradient: indices and values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from regtopk_bench import kernels
from regtopk_bench.arguments import shown, whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import coordinates
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
        self,
        indices: Tensor,
        values: Tensor,
        dim: int,
        counts: Tensor | None = None,
        *,
        trusted: bool = False,
    ) -> None:
        """Combine indices and values.

        Args:
            indices: See above.
            values: See above.
            dim: J, the length of the gradients that the entries were taken from.
            counts: (n,) int64, where workers send different numbers of entries, 0 included:
                row n then ends after `counts[n]` entries and is padded with index 0 and
                value 0. None if every worker sends k, in every process and round.
            trusted: Whether they are known to be as described, and need not be checked.

        Raises:
            ConfigurationError: If they are not as described. A tensor that is changed
                afterwards is not checked again.
        """
        if not trusted:
            kernels.check_floats(values, "values")
            kernels.check_tensor(indices, "indices", values.shape, torch.int64, values.device)
            beyond_Nk = None if counts is None else _padding(counts, indices, values)
            kernels.check_ascending(indices, whole(dim, "dim", 1), beyond_Nk)
        self.indices, self.values, self.dim, self._counts = indices, values, dim, counts

    def __len__(self) -> int:
        """Return n."""
        return len(self.values)

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
        if len(rows) != 3:
            raise ConfigurationError(f"messages of 3 tensors cannot be made of {len(rows)}")
        counts_N, indices_Nk, values_Nk = rows
        return self._like(counts_N, indices_Nk, values_Nk)

    def _like(self, counts_N: Tensor, indices_Nk: Tensor, values_Nk: Tensor) -> SparseGradient:
        """Return messages of the same sparsifier; if all of its workers send k, so do these."""
        message = SparseGradient(indices_Nk, values_Nk, self.dim, counts_N)
        if self._counts is None and bool((counts_N == indices_Nk.shape[1]).all()):
            message._counts = None
        return message

    def to_dense(self) -> Tensor:
        """Return the gradients with 0 where nothing was sent, (n, J)."""
        dense_NJ = self.values.new_zeros(len(self.values), self.dim)
        return dense_NJ.scatter_add_(1, self.indices, self.values)  # padding adds 0

    def total(self, weights_N: Tensor) -> Tensor:
        """See `Message.total`."""
        kernels.check_weights(weights_N, self.values)
        return kernels.unchecked(self.values).scatter_sum(
            self.indices, self.values, weights_N, self.dim
        )

    def stated(self, encoding: Encoding) -> str:
        """See `Message.stated`."""
        return encoding.stated(self.dim, self.values.itemsize)

    def bytes_N(self, encoding: Encoding) -> Sequence[int]:
        """See `Message.bytes_N`."""
        dim, value_bytes = self.dim, self.values.itemsize
        if self._counts is None:
            size = coordinates.size(self.indices.shape[1], dim, value_bytes)
            return [size] * len(self.indices)
        return [coordinates.size(count, dim, value_bytes) for count in self._counts.tolist()]

    def fixed_bytes(self, encoding: Encoding) -> int | None:
        """See `Message.fixed_bytes`."""
        return self.bytes_N(encoding)[0] if self._counts is None else None

    def bodies(self, encoding: Encoding) -> list[Tensor]:
        """See `Message.bodies`."""
        counts, dim = self.counts.tolist(), self.dim
        indices_Nk, values_Nk = self.indices.cpu(), self.values.detach().cpu()
        bodies = []
        for indices_k, values_k, count in zip(indices_Nk, values_Nk, counts, strict=True):
            sent_k, values_k = indices_k[:count], values_k[:count].contiguous()
            if coordinates.size(count, dim, values_k.itemsize) == dim * values_k.itemsize:
                plain_J = values_k.new_zeros(dim).index_put_((sent_k,), values_k)
                bodies.append(plain_J.view(torch.uint8))
            else:
                written = coordinates.write(sent_k, dim)
                bodies.append(torch.cat([written, values_k.view(torch.uint8)]))
        return bodies

    def from_bodies(self, bodies: Sequence[Tensor], encoding: Encoding) -> SparseGradient:
        """See `Message.from_bodies`."""
        each = [self._entries(body) for body in bodies]
        counts_N = torch.tensor([len(indices_k) for indices_k, _ in each])
        indices_Nk = pad_sequence([indices_k for indices_k, _ in each], batch_first=True)
        values_Nk = pad_sequence([values_k for _, values_k in each], batch_first=True)
        device = self.values.device
        return self._like(counts_N.to(device), indices_Nk.to(device), values_Nk.to(device))

    def _entries(self, body: Tensor) -> tuple[Tensor, Tensor]:
        """Return one worker's indices and values, given the bytes of its message."""
        dim, value_bytes = self.dim, self.values.itemsize
        if len(body) == dim * value_bytes:
            return torch.arange(dim), body.clone().view(self.values.dtype)
        indices_k, at = coordinates.read(body, dim, value_bytes)
        return indices_k, body[at:].clone().view(self.values.dtype)


def _padding(counts_N: Tensor, indices_Nk: Tensor, values_Nk: Tensor) -> Tensor | None:
    """Return which entries are beyond the end of their row, (n, k); None if no row ends earlier.

    Raises:
        ConfigurationError: If counts are out of range, or there is anything but 0 beyond them.
    """
    workers, most = indices_Nk.shape
    kernels.check_tensor(counts_N, "counts", (workers,), torch.int64, indices_Nk.device)
    counts = counts_N.tolist()
    if not all(0 <= count <= most for count in counts):
        raise ConfigurationError(f"counts {shown(counts)} are not from 0 to {most}")
    if all(count == most for count in counts):
        return None
    beyond_Nk = torch.arange(most, device=counts_N.device) >= counts_N[:, None]
    if bool((beyond_Nk & ((indices_Nk != 0) | (values_Nk != 0.0))).any()):
        raise ConfigurationError(
            "a row is longer than its count: expected index 0 and value 0 beyond it"
        )
    return beyond_Nk
