"""A pool of processes, each hosting a shard of the workers.

The process that opens the pool hosts the first shard; the others are started from a clean
server process, so that they inherit neither threads nor locks, and meet it at a barrier
made of semaphores. They watch each other while they wait: if one dies, the rest end.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.multiprocessing
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.transport.base import Transport, shards
from regtopk_bench.transport.hosts import POLL_SECONDS, Host, MeetingPoint, died, wait_for_all
from regtopk_bench.transport.shared_memory import Arena, SharedBytes

Job = Callable[[Transport], object]

_STOP_SECONDS = 2.0


class _PoolClosedError(BaseException):
    """The opener has ended the pool: a hosted shard stops silently, and nobody should catch it."""


class _Member:
    """One process's end of the pool."""

    def __init__(self, rank: int, parts: Sequence[range], memory: SharedBytes) -> None:
        self.workers, self.processes = parts[rank], len(parts)
        self._arena = Arena(memory, parts, rank)

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """See `Transport.all_gather`."""
        return self._arena.all_gather(rows, self.meet)

    def meet(self) -> None:
        """Wait until every process has arrived here."""
        raise NotImplementedError


class _Opener(_Member):
    """The process that opened the pool, rank 0."""

    def __init__(self, parts: Sequence[range], memory: SharedBytes) -> None:
        super().__init__(0, parts, memory)
        self.hosts: list[Host] = []

    def meet(self) -> None:
        """Wait for the others, then let them continue."""
        wait_for_all(self.hosts)
        for host in self.hosts:
            host.meeting_point.go.release()

    def close(self, *, finished: bool) -> None:
        """End the other processes: wait for those about to finish, kill the rest."""
        if not finished:
            for host in self.hosts:
                host.meeting_point.closed.fill_(1)
                host.meeting_point.go.release()
        deadline = time.monotonic() + _STOP_SECONDS
        for host in self.hosts:
            host.process.join(max(0.0, deadline - time.monotonic()))
            if host.process.is_alive():
                host.process.kill()
                host.process.join()
            host.connection.close()
            host.process.close()


class _Hosted(_Member):
    """A process that the pool started."""

    def __init__(
        self, rank: int, parts: Sequence[range], memory: SharedBytes, meeting_point: MeetingPoint
    ) -> None:
        super().__init__(rank, parts, memory)
        self._meeting_point = meeting_point
        self._opener = multiprocessing.parent_process()

    def meet(self) -> None:
        """Report to the opener and wait for its signal."""
        self._meeting_point.arrived.release()
        while not self._meeting_point.go.acquire(timeout=POLL_SECONDS):
            if self._opener is None or not self._opener.is_alive():
                raise _PoolClosedError
        if self._meeting_point.closed.item():
            raise _PoolClosedError


@contextlib.contextmanager
def open_pool(
    workers: int, processes: int, dim: int, itemsize: int, job: Job
) -> Iterator[Transport]:
    """Start `job` in every process but this one, and yield this one's own end.

    A failure anywhere ends all processes. If several fail in the same round, this one's error
    is raised, else the error of the lowest rank, else the death of the lowest rank.

    Args:
        workers: Number of simulated workers in all, N.
        processes: How many processes host them, this one included, 2 ≤ P ≤ N.
        dim: Number of parameters, J, which bounds the rows that can travel.
        itemsize: Bytes of one gradient value.
        job: What every other process does with its end of the pool; must be picklable. The
            caller does the same with the end it is given.

    Raises:
        ConfigurationError: If the job cannot be sent to another process.
        WorkerDiedError: If a process ends while being started or, raised by `all_gather` in
            the body, later.
    """
    context = _context()
    parts = shards(workers, processes)
    memory = Arena.allocate(workers, processes, dim, itemsize)
    closed = torch.zeros(1, dtype=torch.uint8).share_memory_()
    opener = _Opener(parts, memory)
    finished = False
    try:
        for rank in range(1, processes):
            meeting_point = MeetingPoint(context.Semaphore(0), context.Semaphore(0), closed)
            opener.hosts.append(_start(context, rank, parts, memory, meeting_point, job))
        opener.meet()  # starting up is not part of the first round's time
        yield opener
        finished = True
    finally:
        opener.close(finished=finished)
        memory.close()


def _context() -> Any:
    """Return the context that starts processes, importing what they need only once."""
    methods = multiprocessing.get_all_start_methods()
    method = "forkserver" if "forkserver" in methods else "spawn"
    context: Any = torch.multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__, "regtopk_bench.kernels.warm_up"])
    return context


def _start(
    context: Any,
    rank: int,
    parts: Sequence[range],
    memory: SharedBytes,
    meeting_point: MeetingPoint,
    job: Job,
) -> Host:
    """Start one process of the pool."""
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_host,
        args=(rank, parts, memory, meeting_point, theirs, job),
        name=f"regtopk-bench-{rank}",
        daemon=True,
    )
    try:
        process.start()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"the workload or sparsifier cannot be sent to another process ({error}); "
            "define its class at the top level of a module, or use processes=1"
        ) from error
    except (ConnectionError, EOFError) as error:  # a broken pipe, but not that of stdout
        raise died(rank, parts[rank], f"ended while being started ({error})") from error
    theirs.close()
    return Host(rank, parts[rank], process, ours, meeting_point)


def _host(
    rank: int,
    parts: Sequence[range],
    memory: SharedBytes,
    meeting_point: MeetingPoint,
    connection: Connection,
    job: Job,
) -> None:
    """Run the job in a started process; tell the opener when it fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the opener handles Ctrl-C
    try:
        member = _Hosted(rank, parts, memory, meeting_point)
        member.meet()
        job(member)
        os._exit(0)
    except _PoolClosedError:
        os._exit(0)
    except Exception as error:
        error.add_note(traceback.format_exc())
        connection.send(_picklable(error))
        connection.close()
        os._exit(1)


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # pickling a foreign exception may raise anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
