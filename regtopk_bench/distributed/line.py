"""The line that joins the ranks of a process group: it carries bytes of any length, and failures.

An exchange is one all-gather. In front of its content a rank puts a header: whether it has failed,
how long the content is, and a digest of what all ranks must agree on. How many bytes the all-gather
has room for is known from exchanges before; only if a content is longer, the rest follows in a
second one. So a rank that fails says so where the others expect its content, and none of them
waits in vain: all of them raise the error of the lowest rank that has failed.

Every rank begins and completes the same exchanges in the same order.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch import distributed as dist

from regtopk_bench.errors import RunError
from regtopk_bench.transport.children import picklable

# Newer versions of PyTorch have another name for it, and warn of the old one.
_all_gather: Any = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)

_GOES_ON, _FAILED = 0, 1
_HEADER_BYTES = 24  # status, size and digest


@dataclass
class Exchange:
    """An exchange on its way: what this rank sent, and where that of all ranks arrives."""

    content: Tensor
    room: int
    arriving_NB: Tensor
    work: Any


@dataclass(frozen=True)
class Arrived:
    """What all ranks have sent, in their order."""

    contents: list[Tensor]
    """(bytes,) uint8."""

    longest: int
    """Bytes of the longest content."""


class Line:
    """A process group, as one rank sees it.

    Attributes:
        rank: This rank in the group.
        ranks: How many there are, N.
        device: Where bytes have to be to travel.
        failure: What ended the work of this rank or another.
        told: Whether all ranks know. Then they exchange nothing any more.
    """

    def __init__(self, group: dist.ProcessGroup | None, device: torch.device) -> None:
        """See the attributes; None is the default group."""
        self._group = group
        self.rank, self.ranks = dist.get_rank(group), dist.get_world_size(group)
        self.device = torch.device("cpu") if dist.get_backend(group) == "gloo" else device
        self.failure: Exception | None = None
        self.told = False
        self._pickled = b""

    def fail(self, error: Exception) -> None:
        """Note what ended the work of this rank, to be told in its next exchange."""
        self.failure, self._pickled = error, pickle.dumps(picklable(error))

    def begin(self, content: Tensor, *, room: int, digest: int = 0) -> Exchange:
        """Begin to exchange.

        Args:
            content: What this rank sends, (bytes,) uint8 on any device. If it has failed, it sends
                its failure instead.
            room: How many bytes of content to make room for, the same in all ranks.
            digest: Of what all ranks must agree on, below 2⁶³.
        """
        status = _GOES_ON
        if self.failure is not None:
            status, content = _FAILED, as_bytes(self._pickled)
        header = torch.tensor([status, len(content), digest]).view(torch.uint8)
        first = content[:room]
        leaving_B = torch.zeros(_HEADER_BYTES + room, dtype=torch.uint8, device=self.device)
        leaving_B[:_HEADER_BYTES] = header
        leaving_B[_HEADER_BYTES : _HEADER_BYTES + len(first)] = first
        arriving_NB = leaving_B.new_empty(self.ranks, len(leaving_B))
        work = _all_gather(arriving_NB.view(-1), leaving_B, group=self._group, async_op=True)
        return Exchange(content, room, arriving_NB, work)

    def complete(self, exchange: Exchange) -> Arrived:
        """Wait for what all ranks have sent.

        Raises:
            RunError: In every rank and with the same text, if their digests differ.
            Exception: In every rank, what the lowest rank that has failed raised.
        """
        exchange.work.wait()
        if self.told and self.failure is not None:
            raise self.failure
        headers = exchange.arriving_NB[:, :_HEADER_BYTES].cpu().reshape(-1).view(torch.int64)
        said = headers.view(self.ranks, -1).tolist()
        sizes = [size for _, size, _ in said]
        contents = [
            row[:size]
            for row, size in zip(exchange.arriving_NB[:, _HEADER_BYTES:], sizes, strict=True)
        ]
        longest, room = max(sizes), exchange.room
        if longest > room:
            rests_NB = self._rests(exchange, longest - room)
            contents = [
                torch.cat([content, rest[: max(size - room, 0)]])
                for content, rest, size in zip(contents, rests_NB, sizes, strict=True)
            ]
        self._check(said, contents)
        return Arrived(contents, longest)

    def _rests(self, exchange: Exchange, room: int) -> Tensor:
        """Exchange what there was no room for, (N, room)."""
        rest = exchange.content[exchange.room :]
        leaving_B = torch.zeros(room, dtype=torch.uint8, device=self.device)
        leaving_B[: len(rest)] = rest
        arriving_NB = leaving_B.new_empty(self.ranks, room)
        _all_gather(arriving_NB.view(-1), leaving_B, group=self._group)
        return arriving_NB

    def _check(self, said: Sequence[Sequence[int]], contents: Sequence[Tensor]) -> None:
        """Raise what ends the work of all ranks, if anything does."""
        for (status, _, _), content in zip(said, contents, strict=True):
            if status == _FAILED:
                self._end(pickle.loads(content.cpu().numpy().tobytes()))
        for rank, (_, _, digest) in enumerate(said):
            if digest != said[0][2]:
                self._end(
                    RunError(
                        f"rank {rank} compresses other gradients than rank 0, in another way or in "
                        "another iteration: all ranks need the same model and settings, and if one "
                        "loads a saved state, all of them have to"
                    )
                )

    def _end(self, error: Exception) -> NoReturn:
        self.failure, self.told = error, True
        raise error


def as_bytes(content: bytes) -> Tensor:
    """Return bytes as a tensor, (bytes,) uint8."""
    return torch.tensor(list(content), dtype=torch.uint8)


def next_room(room: int, longest: int) -> int:
    """Return the room for the next exchange, after one with such a longest content.

    Contents of one length just fit. Where lengths vary, a little spare room saves most of the
    second all-gathers.
    """
    if longest <= room <= 2 * longest:
        return room
    return longest + longest // 32 if room else longest
