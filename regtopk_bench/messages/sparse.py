"""Some entries of each worker's gradient: indices and values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.arguments import shown, whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels.gaps import Array
from regtopk_bench.messages import compact, coordinates
from regtopk_bench.messages.base import Message
from regtopk_bench.messages.encoding import Encoding, damaged
from regtopk_bench.messages.raw import as_array

_CODECS = {Encoding.COORDINATES: coordinates, Encoding.COMPACT: compact}


class SparseGradient(Message):
    """The entries that each worker sends; their number may differ between workers.

    Attributes:
        indices: (n, k) int64, distinct and ascending in each row.
        values: (n, k), in the gradient's dtype.
        dim: J.
        sent_as: The dtype in which values travel; all of them have a number in it.
    """

    def __init__(
        self,
        indices: Tensor,
        values: Tensor,
        dim: int,
        counts: Tensor | None = None,
        *,
        sent_as: torch.dtype | None = None,
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
            sent_as: See above; the dtype of the values if None.
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
            if sent_as is not None and not torch.equal(values.to(sent_as).to(values), values):
                raise ConfigurationError(f"values have no numbers in {sent_as}: round them first")
        self.indices, self.values, self.dim, self._counts = indices, values, dim, counts
        self.sent_as = values.dtype if sent_as is None else sent_as

    def __len__(self) -> int:
        """Return n."""
        return len(self.values)

    @property
    def counts(self) -> Tensor:
        """How many entries each worker sends, (n,) int64."""
        if self._counts is not None:
            return self._counts
        return self.indices.new_full((len(self.indices),), self.indices.shape[1])

    def rows(self) -> tuple[Tensor, ...]:
        """Return counts, indices and values; see `Message.rows`."""
        return self.counts, self.indices, self.values

    def gathered(self, rows: Sequence[Tensor]) -> SparseGradient:
        """See `Message.gathered`."""
        if len(rows) != 3:
            raise ConfigurationError(f"messages of 3 tensors cannot be made of {len(rows)}")
        counts_N, indices_Nk, values_Nk = rows
        message = SparseGradient(indices_Nk, values_Nk, self.dim, counts_N, sent_as=self.sent_as)
        if self._counts is None and bool((counts_N == indices_Nk.shape[1]).all()):
            message._counts = None
        return message

    def to_dense(self) -> Tensor:
        """Return the gradients with 0 where nothing was sent, (n, J)."""
        dense_NJ = self.values.new_zeros(len(self.values), self.dim)
        return dense_NJ.scatter_add_(1, self.indices, self.values)  # padding adds 0

    def total(self, weights_N: Tensor, out: Tensor | None = None) -> Tensor:
        """See `Message.total`; the result may be put in `out`, (J,)."""
        kernels.check_weights(weights_N, self.values)
        if out is not None:
            kernels.check_tensor(out, "out", (self.dim,), weights_N.dtype, weights_N.device)
        return kernels.unchecked(self.values).scatter_sum(
            self.indices, self.values, weights_N, self.dim, out
        )

    def value_bytes(self) -> int:
        """See `Message.value_bytes`."""
        return self.values.shape[1] * self.sent_as.itemsize

    def stated(self, encoding: Encoding) -> str:
        """See `Message.stated`."""
        return encoding.stated(self.dim, self.sent_as.itemsize)

    def sizes_N(self, encoding: Encoding) -> Sequence[int]:
        """See `Message.sizes_N`."""
        dim, value_bytes = self.dim, self.sent_as.itemsize
        if encoding is Encoding.COORDINATES and self._counts is None:
            size = coordinates.size(self.indices.shape[1], dim, value_bytes)
            return [size] * len(self.indices)
        if encoding is Encoding.COORDINATES:
            return [coordinates.size(count, dim, value_bytes) for count in self.counts.tolist()]
        indices_Nk, counts_N = self.indices.cpu().numpy(), self.counts.cpu().numpy()
        return [
            min(size + count * value_bytes, dim * value_bytes)
            for size, count in zip(
                compact.sizes(indices_Nk, counts_N, dim), counts_N.tolist(), strict=True
            )
        ]

    def fixed_size(self, encoding: Encoding) -> int | None:
        """See `Message.fixed_size`."""
        fixed = encoding is Encoding.COORDINATES and self._counts is None
        return self.sizes_N(encoding)[0] if fixed else None

    def write(self, worker: int, encoding: Encoding, out: Array) -> int:
        """See `Message.write`."""
        dim, value_bytes = self.dim, self.sent_as.itemsize
        count = self.indices.shape[1] if self._counts is None else int(self._counts[worker])
        indices_k = np.ascontiguousarray(as_array(self.indices)[worker, :count])
        values_k = np.ascontiguousarray(as_array(self.values, self.sent_as)[worker, :count])
        values_v = values_k.view(np.uint8)
        if count < dim:
            end: int = _CODECS[encoding].write(indices_k, dim, out)
            size = end + count * value_bytes
            if size < dim * value_bytes:
                out[end:size] = values_v
                return size
        plain = out[: dim * value_bytes].reshape(dim, value_bytes)
        plain[:] = 0
        plain[indices_k] = values_v.reshape(count, value_bytes)
        return int(plain.size)

    def room(self, encoding: Encoding) -> int:
        """See `Message.room`."""
        most = self.indices.shape[1]
        return int(_CODECS[encoding].room(most, self.dim)) + most * self.sent_as.itemsize

    def from_bodies(self, bodies: Sequence[Array], encoding: Encoding) -> SparseGradient:
        """See `Message.from_bodies`; a plain vector arrives as J entries."""
        counts = [self._entries(body, encoding) for body in bodies]
        fixed = self._counts is None and len(set(counts)) == 1
        room, shape = np.empty if fixed else np.zeros, (len(counts), max(counts))
        indices_Nk, values_Nk = room(shape, np.int64), room(shape, f"i{self.sent_as.itemsize}")
        values_Nv = values_Nk.view(np.uint8)
        for n, (body, count) in enumerate(zip(bodies, counts, strict=True)):
            end = self._read(body, encoding, indices_Nk[n, :count])
            values_v = body[end:]
            if len(values_v) != count * self.sent_as.itemsize:
                raise damaged(f"{len(body)} bytes are not {count} entries")
            values_Nv[n, : len(values_v)] = values_v
        return SparseGradient(
            torch.from_numpy(indices_Nk).to(self.indices.device),
            torch.from_numpy(values_Nk).view(self.sent_as).to(self.values),
            self.dim,
            None if fixed else torch.tensor(counts, device=self.indices.device),
            sent_as=self.sent_as,
            trusted=True,
        )

    def _entries(self, body: Array, encoding: Encoding) -> int:
        """Return how many entries a worker has sent: J where its message is a plain vector."""
        if len(body) == self.dim * self.sent_as.itemsize:
            return self.dim
        return int(_CODECS[encoding].entries(body, self.dim, self.sent_as.itemsize))

    def _read(self, body: Array, encoding: Encoding, out: Array) -> int:
        """Read a worker's indices; return where its values begin."""
        if len(body) == self.dim * self.sent_as.itemsize:
            out[:] = np.arange(self.dim)
            return 0
        return int(_CODECS[encoding].read(body, self.dim, out))


def bytes_of_nonzero(vectors_TJ: Tensor, encoding: Encoding) -> list[int]:
    """Return how many bytes it takes to send the entries of each vector that are not 0, (T,)."""
    (rounds, dim), value_bytes = vectors_TJ.shape, vectors_TJ.itemsize
    if encoding is Encoding.COORDINATES:
        return [coordinates.size(count, dim, value_bytes) for count in _count_nonzero(vectors_TJ)]
    found: list[int] = []
    for vector_J in vectors_TJ.split(1) if rounds else ():
        (indices_k,) = vector_J[0].nonzero(as_tuple=True)
        message = SparseGradient(indices_k[None], vector_J[:, indices_k], dim, trusted=True)
        found += message.bytes_N(encoding)
    return found


def _count_nonzero(values_TJ: Tensor) -> list[int]:
    """Return how many entries of each row are not 0."""
    if values_TJ.device.type == "cpu":  # NumPy is several times faster there
        return [int(count) for count in np.count_nonzero(values_TJ.numpy(), axis=1)]
    return [int(count) for count in values_TJ.count_nonzero(dim=1).tolist()]


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
