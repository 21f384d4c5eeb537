"""How a sparsifier asks the other ranks while it compresses."""

from __future__ import annotations

import torch
from torch import Tensor

from regtopk_bench.distributed.line import Line, as_bytes
from regtopk_bench.transport.header import HEADER_BYTES, Signature, read_header, write_header
from regtopk_bench.transport.layout import combine, signature_of, views, width


class LinePeers:
    """The workers of the other ranks, one in each.

    A rank that fails does not know whether the others ask it for something, or for its message.
    So an exchange of either kind begins alike: without room.
    """

    def __init__(self, line: Line, device: torch.device) -> None:
        """Lead to them over a line, with rows on this device."""
        self.processes = line.ranks
        self._line, self._device = line, device

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """See `Peers.all_gather`; what it returns stays valid."""
        signature = signature_of([(row.dtype, row.shape) for row in rows], 1)
        body_1B = torch.zeros(1, width(signature), dtype=torch.uint8, device=self._device)
        for place, row in zip(views(body_1B, signature), rows, strict=True):
            place.copy_(row)
        header = as_bytes(write_header(signature)).to(self._device)
        exchange = self._line.begin(torch.cat([header, body_1B[0]]), room=0)
        arrived = self._line.complete(exchange)
        signatures, bodies = zip(*map(self._read, arrived.contents), strict=True)
        return combine(bodies, signatures)

    def _read(self, content: Tensor) -> tuple[Signature, Tensor]:
        """Return how the rows of a rank lie, and where."""
        end = int((content[:HEADER_BYTES] == ord("\n")).nonzero()[0]) + 1
        header = content[:end].cpu().numpy().tobytes()
        return read_header(header), content[end:].to(self._device, copy=True)[None]
