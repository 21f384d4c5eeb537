"""Processes that `torchrun` has started, connected by torch.distributed.

Rank 0 runs the program, as the process that opens a pool does. The other ranks serve it: each takes
part in one job after another, until rank 0 says that there are no more. How the ranks are started,
found, watched and started again is left to `torchrun`.

An exchange begins with a few numbers from every rank: whether it goes on, and how its rows lie.
A rank that fails, or is asked to stop, says so there instead, and no rank waits for it in vain.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from regtopk_bench.errors import RegtopkBenchError, WorkerDiedError
from regtopk_bench.interrupts import STOPPING, held
from regtopk_bench.transport.base import Transport, shards
from regtopk_bench.transport.children import picklable
from regtopk_bench.transport.header import Signature, read_header, write_header
from regtopk_bench.transport.layout import combine, signature_of, views, width
from regtopk_bench.transport.packing import unsendable

Job = Callable[[Transport], object]

_GOES_ON, _FAILED, _CLOSED = 0, 1, 2
"""What a rank says when an exchange begins."""

_LONGEST = timedelta(days=365)  # that ranks wait for the next job
_PATIENCE_SECONDS = 3.0
_SOURCE = re.compile(r"^\[\S+:\d+\] ")  # where in the code of gloo


class _ClosedError(BaseException):
    """Rank 0 has ended the job: another rank stops silently, and nobody should catch it."""


@dataclass(frozen=True)
class Ranks:
    """The processes that `torchrun` has started, seen from rank 0.

    Attributes:
        count: How many.
    """

    count: int

    @contextlib.contextmanager
    def open(self, workers: int, job: Job, *, timeout: float) -> Iterator[Transport]:
        """Start `job` in every other rank, and yield this one's own end.

        A failure anywhere ends the job everywhere. If several ranks fail in the same round, the
        error of the lowest is raised.

        Args:
            workers: Number of simulated workers in all, N.
            job: What every other rank does with its end; must be picklable. The caller does the
                same with the end it is given.
            timeout: How many seconds a rank may keep the others waiting.

        Raises:
            ConfigurationError: If the job cannot be sent to another process.
            WorkerDiedError: If a rank ends or hangs.
        """
        try:
            content = pickle.dumps((workers, timeout, pickle.dumps(job)))
        except Exception as error:  # a foreign class may raise anything
            raise unsendable(str(error)) from error
        with held():
            _tell(content)
            member = _Member(workers, timeout)  # which they make as well
        try:
            yield member
            member.all_gather()  # a rank may fail after the last exchange
        except BaseException:
            member.leave(_CLOSED)
            raise
        finally:
            member.end()


@contextlib.contextmanager
def joined() -> Iterator[Ranks | None]:
    """Connect this process with the others, if `torchrun` has started it.

    Yields:
        In rank 0, the ranks; None if `torchrun` did not start this process.

    Raises:
        SystemExit: In the other ranks, when rank 0 has no more for them to do; with exit code 3
            if a rank has ended before.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield None
        return
    _connect()
    try:
        if dist.get_rank():
            for each in STOPPING:  # rank 0 handles them, and tells
                signal.signal(each, signal.SIG_IGN)
            raise SystemExit(_serve())
        try:
            yield Ranks(dist.get_world_size())
        finally:
            with held(), contextlib.suppress(WorkerDiedError):
                _tell(b"")
    finally:
        dist.destroy_process_group()


def _connect() -> None:
    """Connect with the other ranks.

    Where `torchrun` starts ranks again, its store still has the addresses of those before.
    """
    with _losses_told():
        store, rank, count = next(rendezvous("env://"))
        started = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        options: Any = {"rank": rank, "world_size": count, "timeout": _LONGEST}
        dist.init_process_group("gloo", store=started, **options)


class _Member:
    """One rank's end of a job."""

    def __init__(self, workers: int, timeout: float) -> None:
        self._rank, self.processes = dist.get_rank(), dist.get_world_size()
        self._parts = shards(workers, self.processes)
        self.workers = self._parts[self._rank]
        self._seconds, self._left = timeout, False
        with _losses_told():
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
        """Exchange the bytes of all workers, (n, room) of each rank."""
        most = max(map(len, self._parts))
        mine = torch.zeros(most, room, dtype=torch.uint8)
        for place, row in zip(views(mine[: len(self.workers)], signature), rows, strict=True):
            place.copy_(row)
        everyone = torch.empty(self.processes, most, room, dtype=torch.uint8)
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
        mine[: len(content)] = _bytes(content)
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
                if each.status == _FAILED:
                    failure: Exception = pickle.loads(sent)
                    return failure
        return _ClosedError()

    @contextlib.contextmanager
    def _losses_told(self) -> Iterator[None]:
        try:
            with _losses_told(self._seconds):
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


def _serve() -> int:
    """Take part in jobs until there are no more; return the exit code."""
    try:
        while content := _told():
            _take_part(content)
    except WorkerDiedError:
        time.sleep(_PATIENCE_SECONDS)  # when one rank ends so, all are ended: rank 0 is saving
        return WorkerDiedError.exit_code
    return 0


def _take_part(content: bytes) -> None:
    """Do a job."""
    workers, timeout, task = pickle.loads(content)
    member = _Member(workers, timeout)
    try:
        try:
            job: Job = pickle.loads(task)
        except Exception as error:  # a foreign class may raise anything
            raise unsendable(f"{type(error).__name__}: {error}") from error
        job(member)
        member.all_gather()
    except _ClosedError:
        pass
    except WorkerDiedError:
        raise
    except Exception as error:
        member.leave(_FAILED, error)
    finally:
        member.end()


def _tell(content: bytes) -> None:
    """Send every other rank what to do; nothing if there is no more."""
    with _losses_told():
        dist.broadcast(torch.tensor([len(content)]), 0)
        if content:
            dist.broadcast(_bytes(content), 0)


def _told() -> bytes:
    """Return what rank 0 has sent."""
    size = torch.empty(1, dtype=torch.int64)
    with _losses_told():
        dist.broadcast(size, 0)
        content = torch.empty(int(size), dtype=torch.uint8)
        if len(content):
            dist.broadcast(content, 0)
    return content.numpy().tobytes()


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0)


@contextlib.contextmanager
def _losses_told(seconds: float | None = None) -> Iterator[None]:
    """Turn what torch.distributed raises when a rank cannot be reached into one error."""
    try:
        yield
    except RegtopkBenchError:
        raise
    except RuntimeError as error:
        reason = _SOURCE.sub("", str(error).splitlines()[0]).partition(". ")[0]
        if seconds is not None and "timed out" in reason.lower():
            raise WorkerDiedError(
                f"a rank has not answered for {seconds:g} s: it hangs or was stopped, or "
                "--timeout is too short for a round"
            ) from error
        raise WorkerDiedError(f"a rank has ended, hangs or cannot be reached ({reason})") from error
