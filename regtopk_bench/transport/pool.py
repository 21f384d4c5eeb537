"""A pool of processes, each hosting a shard of the workers.

The process that opens the pool hosts the first shard; the others are started from a clean
server process, so that they inherit neither threads nor locks, and meet it at a barrier
made of semaphores. They watch each other while they wait: whoever dies, the rest ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Semaphore
from typing import Any

import torch
import torch.multiprocessing
from torch import Tensor

from regtopk_bench.errors import ConfigurationError, WorkerDiedError
from regtopk_bench.transport.base import Transport, shards
from regtopk_bench.transport.shared_memory import Arena, SharedBytes

Job = Callable[[Transport], object]

_POLL_SECONDS = 0.2
_STOP_SECONDS = 2.0


class _PoolClosedError(Exception):
    """The opener has ended the pool: a hosted shard stops without a word."""


@dataclass
class Rendezvous:
    """What the processes share beside the arena, sent to each as it starts."""

    arrived: Semaphore
    go: list[Semaphore]
    closed: Tensor
    """One shared byte, set when the pool ends before its job does."""


class _Member:
    """One process's end of the pool."""

    def __init__(self, rank: int, total: int, processes: int, memory: SharedBytes) -> None:
        self.rank, self.processes = rank, processes
        self.workers = shards(total, processes)[rank]
        self._arena = Arena(memory, total, self.workers)

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """See `regtopk_bench.sparsify.Peers.all_gather`."""
        gathered: tuple[Tensor, ...] = self._arena.all_gather(rows, self.meet)
        return gathered

    def meet(self) -> None:
        """Wait until every process has come here."""
        raise NotImplementedError


class _Opener(_Member):
    """The process that opened the pool, rank 0."""

    def __init__(self, rendezvous: Rendezvous, total: int, memory: SharedBytes) -> None:
        super().__init__(0, total, len(rendezvous.go) + 1, memory)
        self._rendezvous = rendezvous
        self.children: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []

    def meet(self) -> None:
        """Wait for the others, then let them go on."""
        for _ in self._rendezvous.go:
            while not self._rendezvous.arrived.acquire(timeout=_POLL_SECONDS):
                self._raise_for_losses()
        for semaphore in self._rendezvous.go:
            semaphore.release()

    def _raise_for_losses(self) -> None:
        ended = [not process.is_alive() for process, _ in self.children]
        for _, connection in self.children:  # an error explains more than a death
            with contextlib.suppress(EOFError):
                if connection.poll():
                    raise connection.recv()
        if any(ended):
            rank = ended.index(True) + 1
            code = self.children[rank - 1][0].exitcode
            hosted = shards(self._arena.total, self.processes)[rank]
            raise WorkerDiedError(
                f"process {rank} of the pool, hosting workers {hosted.start} to "
                f"{hosted.stop - 1}, died ({_cause(code)}); run again, or with --processes 1"
            )

    def close(self, *, finished: bool) -> None:
        """End the other processes: wait for those that are about to, stop the rest."""
        if not finished:
            self._rendezvous.closed.fill_(1)
            for semaphore in self._rendezvous.go:
                semaphore.release()
        deadline = time.monotonic() + _STOP_SECONDS
        for process, connection in self.children:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
            connection.close()
            process.close()


class _Hosted(_Member):
    """A process that the pool started."""

    def __init__(self, rank: int, rendezvous: Rendezvous, total: int, memory: SharedBytes) -> None:
        super().__init__(rank, total, len(rendezvous.go) + 1, memory)
        self._arrived = rendezvous.arrived
        self._go = rendezvous.go[rank - 1]
        self._closed = rendezvous.closed
        self._opener = multiprocessing.parent_process()

    def meet(self) -> None:
        """Report to the opener and wait for its word."""
        self._arrived.release()
        while not self._go.acquire(timeout=_POLL_SECONDS):
            if self._opener is None or not self._opener.is_alive():
                raise _PoolClosedError
        if self._closed.item():
            raise _PoolClosedError


@contextlib.contextmanager
def open_pool(
    workers: int, processes: int, dim: int, itemsize: int, job: Job
) -> Iterator[Transport]:
    """Start `job` in every process but this one, and give this one its own end.

    Args:
        workers: Number of simulated workers in all, N.
        processes: How many processes host them, this one included, 2 ≤ P ≤ N.
        dim: Number of parameters, J, which bounds the rows that can travel.
        itemsize: Bytes of one gradient value.
        job: What every other process does with its end of the pool; must be picklable. The
            caller does the same with the end it is given.

    Raises:
        ConfigurationError: If the job cannot be sent to another process.
        WorkerDiedError: In the body, from `all_gather`, when a process is gone.
    """
    methods = multiprocessing.get_all_start_methods()
    method = "forkserver" if "forkserver" in methods else "spawn"
    context: Any = torch.multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__, "regtopk_bench.kernels.warm_up"])
    memory = Arena.allocate(workers, dim, itemsize)
    rendezvous = Rendezvous(
        arrived=context.Semaphore(0),
        go=[context.Semaphore(0) for _ in range(processes - 1)],
        closed=torch.zeros(1, dtype=torch.uint8).share_memory_(),
    )
    opener = _Opener(rendezvous, workers, memory)
    finished = False
    try:
        for rank in range(1, processes):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_host,
                args=(rank, rendezvous, workers, memory, theirs, job),
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
            theirs.close()
            opener.children.append((process, ours))
        opener.meet()  # starting up is not part of the first round's time
        yield opener
        finished = True
    finally:
        opener.close(finished=finished)
        memory.close()


def _host(
    rank: int,
    rendezvous: Rendezvous,
    total: int,
    memory: SharedBytes,
    connection: Connection,
    job: Job,
) -> None:
    """Run the job in a started process; tell the opener when it fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the opener's to handle
    try:
        member = _Hosted(rank, rendezvous, total, memory)
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
    except Exception:  # whatever a foreign exception does when it is pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _cause(code: Any) -> str:
    if isinstance(code, int) and code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
