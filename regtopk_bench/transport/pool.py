"""A pool of processes, each hosting a shard of the workers.

The process that opens the pool hosts the first shard. The others meet it at a barrier: each tells
it through its connection that it has arrived, and goes on when told that all have. A connection
that ends tells each side that the other has.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection

from torch import Tensor

from regtopk_bench.shared import SharedBytes
from regtopk_bench.transport.base import TIMEOUT_SECONDS, Transport, shards
from regtopk_bench.transport.children import Launcher, picklable
from regtopk_bench.transport.hosts import ARRIVED, FAILED, GO, Host, wait_for_all
from regtopk_bench.transport.shared_memory import Arena

Job = Callable[[Transport], object]

_END_SECONDS = 2.0
_ADVICE = "run again, or with --processes 1"


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

    def __init__(self, parts: Sequence[range], memory: SharedBytes, timeout: float) -> None:
        super().__init__(0, parts, memory)
        self.hosts: list[Host] = []
        self._timeout = timeout

    def meet(self) -> None:
        """Wait for the others, then let them continue."""
        wait_for_all(self.hosts, self._timeout)
        for host in self.hosts:
            host.let_go()


class _Hosted(_Member):
    """A process that the pool started."""

    def __init__(
        self, rank: int, parts: Sequence[range], memory: SharedBytes, connection: Connection
    ) -> None:
        super().__init__(rank, parts, memory)
        self._fd = connection.fileno()

    def meet(self) -> None:
        """Report to the opener and wait for its signal."""
        try:
            os.write(self._fd, ARRIVED)
            closed = os.read(self._fd, 1) != GO
        except ConnectionError:
            closed = True
        if closed:
            raise _PoolClosedError


@contextlib.contextmanager
def open_pool(
    workers: int,
    processes: int,
    dim: int,
    itemsize: int,
    job: Job,
    *,
    timeout: float = TIMEOUT_SECONDS,
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
        timeout: How many seconds a process may take to start, and may keep this one waiting.

    Raises:
        ConfigurationError: If the job cannot be sent to another process.
        RunError: If there is no memory to share, or no process can be started.
        WorkerDiedError: If a process ends or hangs while being started or, raised by `all_gather`
            in the body, later.
    """
    parts = shards(workers, processes)
    memory = Arena.allocate(workers, processes, dim, itemsize)
    opener = _Opener(parts, memory, timeout)
    launcher = Launcher(functools.partial(_host, parts, memory, job), timeout, _ADVICE)
    seconds = 0.0
    try:
        for rank, part in enumerate(parts[1:], start=1):
            who = f"process {rank} of the pool, hosting workers {part.start} to {part.stop - 1}"
            opener.hosts.append(Host(launcher.start(rank, who)))
        for host in opener.hosts:
            host.child.wait_until_ready(timeout)
        opener.meet()  # starting up is not part of the first round's time
        yield opener
        seconds = _END_SECONDS
    finally:
        _end(opener.hosts, seconds)


def _end(hosts: Sequence[Host], seconds: float) -> None:
    """End the other processes: wait so long for those about to finish, kill the rest."""
    for host in hosts:
        host.child.end(seconds)


def _host(
    parts: Sequence[range], memory: SharedBytes, job: Job, rank: int, connection: Connection
) -> None:
    """Run the job in a started process; tell the opener when it fails."""
    try:
        member = _Hosted(rank, parts, memory, connection)
        member.meet()
        job(member)
    except _PoolClosedError:
        pass
    except Exception as error:
        os.write(connection.fileno(), FAILED)
        connection.send(picklable(error))
        os._exit(1)
