"""One rank's end of a job in a process group of torch.distributed.

An exchange begins with a few numbers from every rank: whether it goes on, and how its rows lie.
A rank that fails, or is asked to stop, says so there instead, and no rank waits for it in vain.
These numbers travel by gloo; rows that lie on a GPU travel by NCCL.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from regtopk_bench.errors import RegtopkBenchError, WorkerDiedError
from regtopk_bench.interrupts import held
from regtopk_bench.transport.base import shards
from regtopk_bench.transport.children import picklable
from regtopk_bench.transport.header import Signature, read_header, write_header
from regtopk_bench.transport.layout import combine, signature_of, views, width

FAILED, CLOSED = 1, 2
"""What a rank says that leaves a job: why, or merely that it does."""
_GOES_ON = 0

_SOURCE = re.compile(r"^\[\S+:\d+\] ")  # where in the code of gloo
_LATE = re.compile(r"timed out|timeout", re.IGNORECASE)


class ClosedError(BaseException):
    """Rank 0 has ended the job: another rank stops silently, and nobody should catch it."""


class Member:
    """One rank's end of a job."""

    def __init__(self, workers: int, timeout: float) -> None:
        self._rank, self.processes = dist.get_rank(), dist.get_world_size()
        self._parts = shards(workers, self.processes)
        self.workers = self._parts[self._rank]
        self._seconds, self._left = timeout, False
        with losses_told(timeout):
            self._group: Any = dist.new_group(timeout=timedelta(seconds=timeout))

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """See `Transport.all_gather`."""
        signature = signature_of([(row.dtype, row.shape) for row in rows], len(self.workers))
        with held(), self._losses_told():
            header = write_header(signature)
            said = self._meet(_GOES_ON, header)
            if any(each.status != _GOES_ON for each in said):
                raise self._failure(said, b"")
            if len({each.digest for each in said}) == 1:
                return views(torch.cat(self._carried(rows, signature, width(signature))), signature)
            signatures = [read_header(each) for each in self._bytes_of_all(header, said)]
            parts = self._carried(rows, signature, max(map(width, signatures)))
        return combine(parts, signatures)

    def leave(self, status: int, error: Exception | None = None) -> None:
        """Tell the other ranks at their next exchange that this one has left the job, and why.

        Nothing is said if it was an exchange that ended it: then they know.
        """
        if self._left:
            return
        content = pickle.dumps(picklable(error)) if error else b""
        with held(), contextlib.suppress(WorkerDiedError), self._losses_told():
            self._failure(self._meet(status, content), content)

    def end(self) -> None:
        """Close the connections of this job."""
        dist.destroy_process_group(self._group)

    def _carried(self, rows: Sequence[Tensor], signature: Signature, room: int) -> list[Tensor]:
        """Exchange the bytes of all workers, (n, room) of each rank, where the rows are."""
        most, device = max(map(len, self._parts)), rows[0].device if rows else None
        mine = torch.zeros(most, room, dtype=torch.uint8, device=device)
        for place, row in zip(views(mine[: len(self.workers)], signature), rows, strict=True):
            place.copy_(row)
        everyone = torch.empty(self.processes, most, room, dtype=torch.uint8, device=device)
        if room:
            dist.all_gather(list(everyone), mine, group=self._group)
        return [each[: len(part)] for each, part in zip(everyone, self._parts, strict=True)]

    def _meet(self, status: int, content: bytes) -> list[_Said]:
        """Begin an exchange: return what every rank says."""
        digest = int.from_bytes(hashlib.sha256(content).digest()[:7])
        mine = torch.tensor([status, len(content), digest])
        said = torch.empty(self.processes, len(mine), dtype=torch.int64)
        dist.all_gather(list(said), mine, group=self._group)
        return [_Said(*each) for each in said.tolist()]

    def _bytes_of_all(self, content: bytes, said: Sequence[_Said]) -> list[bytes]:
        """Exchange bytes whose lengths all ranks have said."""
        longest = max(each.size for each in said)
        if not longest:
            return [b""] * self.processes
        mine = torch.zeros(longest, dtype=torch.uint8)
        mine[: len(content)] = as_tensor(content)
        everyone = torch.empty(self.processes, longest, dtype=torch.uint8)
        dist.all_gather(list(everyone), mine, group=self._group)
        return [
            each[: one.size].numpy().tobytes() for each, one in zip(everyone, said, strict=True)
        ]

    def _failure(self, said: Sequence[_Said], content: bytes) -> BaseException:
        """Return what ends this rank's part in a job that some rank has left."""
        self._left = True
        going = [_Said(each.status, 0, 0) if each.status == _GOES_ON else each for each in said]
        contents = self._bytes_of_all(content, going)
        if self._rank == 0:
            for each, sent in zip(said, contents, strict=True):
                if each.status == FAILED:
                    failure: Exception = pickle.loads(sent)
                    return failure
        return ClosedError()

    @contextlib.contextmanager
    def _losses_told(self) -> Iterator[None]:
        try:
            with losses_told(self._seconds):
                yield
        except WorkerDiedError:
            self._left = True
            raise


@dataclass(frozen=True)
class _Said:
    """What a rank says when an exchange begins."""

    status: int
    size: int
    """Bytes of its header, or of its error."""
    digest: int
    """Of these bytes."""


def as_tensor(content: bytes) -> Tensor:
    """Return bytes as a tensor, uint8."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0)


@contextlib.contextmanager
def losses_told(seconds: float) -> Iterator[None]:
    """Turn what torch.distributed raises when a rank cannot be reached into one error.

    Args:
        seconds: How long a rank may keep the others waiting.

    Raises:
        WorkerDiedError: If one is lost.
    """
    try:
        yield
    except RegtopkBenchError:
        raise
    except RuntimeError as error:
        reason = _SOURCE.sub("", str(error).splitlines()[0]).partition(". ")[0]
        if _LATE.search(reason):
            raise WorkerDiedError(
                f"a rank has not answered for {seconds:g} s: it hangs or was stopped, or "
                "--timeout is too short"
            ) from error
        raise WorkerDiedError(f"a rank has ended, hangs or cannot be reached ({reason})") from error
