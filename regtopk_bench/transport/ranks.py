"""Processes that `torchrun` has started, connected by torch.distributed.

Rank 0 runs the program, as the process that opens a pool does. The other ranks serve it: each takes
part in one job after another, until rank 0 says that there are no more. How the ranks are started,
found, watched and started again is left to `torchrun`.

It watches whether they end, and not whether they hang. So no rank waits longer than a time limit
for another, and rank 0 does not end before the others have answered a last time: wherever one
hangs, another ends, and `torchrun` then ends all of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from regtopk_bench.errors import WorkerDiedError
from regtopk_bench.interrupts import STOPPING, held
from regtopk_bench.transport.base import TIMEOUT_SECONDS, Transport
from regtopk_bench.transport.packing import unsendable
from regtopk_bench.transport.process_group import (
    CLOSED,
    FAILED,
    ClosedError,
    Member,
    as_tensor,
    losses_told,
)

Job = Callable[[Transport], object]

_NO_MORE, _FINISHED = 0, -1
"""What rank 0 says in place of the size of a job: that it ends, without or with success."""

_LOSS, _NOTHING_LEFT = "regtopk_bench/loss", "regtopk_bench/nothing_left"
"""Keys in the store: that rank 0 has noticed a loss, and that all is done."""

_PATIENCE_SECONDS = 3.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class _Start:
    """A start of the ranks by `torchrun`."""

    rank: int
    count: int
    number: int
    """How often they had been started before."""
    store: Store
    """That of `torchrun`, which has it for as long as it runs."""
    timeout: float
    """How many seconds a rank may keep the others waiting."""

    @property
    def own_store(self) -> Store:
        """The store without what earlier starts have left there: addresses of their ranks."""
        return PrefixStore(str(self.number), self.store)

    def connect(self) -> None:
        """Connect with the other ranks: by gloo, and where there are GPUs, these by NCCL."""
        backend, local = "gloo", int(os.environ["LOCAL_RANK"])
        if local < torch.cuda.device_count():
            backend = "cpu:gloo,cuda:nccl"
            torch.cuda.set_device(local)
        with losses_told(self.timeout):
            dist.init_process_group(
                backend,
                store=self.own_store,
                rank=self.rank,
                world_size=self.count,
                timeout=timedelta(seconds=self.timeout),
            )

    def broadcast(self, content: Tensor) -> Tensor:
        """Send a tensor of rank 0 to all the others, where it is filled in."""
        with losses_told(self.timeout):
            dist.broadcast(content, 0)
        return content

    def meet(self) -> None:
        """Wait until all ranks are here."""
        with losses_told(self.timeout):
            dist.all_reduce(torch.zeros(1))

    @contextlib.contextmanager
    def loss_noted(self) -> Iterator[None]:
        """Let rank 1 know that a loss was noticed here, and will be told."""
        try:
            yield
        except WorkerDiedError:
            with contextlib.suppress(RuntimeError):  # that `torchrun` was lost
                self.own_store.set(_LOSS, "")
            raise

    def is_loss_noted(self) -> bool:
        """Tell whether rank 0 has noticed one."""
        with contextlib.suppress(RuntimeError):
            return bool(self.own_store.check([_LOSS]))
        return True


@dataclass(frozen=True)
class Ranks:
    """The processes that `torchrun` has started, seen from rank 0.

    Attributes:
        count: How many.
        restarts: How often `torchrun` has started them again.
    """

    count: int
    restarts: int
    _start: _Start

    @contextlib.contextmanager
    def open(self, workers: int, job: Job, *, timeout: float) -> Iterator[Transport]:
        """Start `job` in every other rank, and yield this one's own end.

        A failure anywhere ends the job everywhere. If several ranks fail in the same round, the
        error of the lowest is raised.

        Args:
            workers: Number of simulated workers in all, N.
            job: What every other rank does with its end; must be picklable. The caller does the
                same with the end it is given. Its tensors on the GPU of this rank arrive on those
                of the others.
            timeout: How many seconds a rank may keep the others waiting.

        Raises:
            ConfigurationError: If the job cannot be sent to another process.
            WorkerDiedError: If a rank ends or hangs.
        """
        packed = io.BytesIO()
        try:
            torch.save(job, packed, pickle_protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # a foreign class may raise anything
            raise unsendable(str(error)) from error
        content = pickle.dumps((workers, timeout, packed.getvalue()))
        with self._start.loss_noted():
            with held():
                self._start.broadcast(torch.tensor([len(content)]))
                self._start.broadcast(as_tensor(content))
                member = Member(workers, timeout)  # which they make as well
            try:
                yield member
                member.all_gather()  # a rank may fail after the last exchange
            except BaseException:
                member.leave(CLOSED)
                raise
            finally:
                member.end()

    def finished(self, exit_code: int = 0) -> None:
        """Note that nothing is left to do: if `torchrun` starts ranks again, they end at once."""
        with losses_told(self._start.timeout):
            self._start.store.set(_NOTHING_LEFT, str(exit_code))


@contextlib.contextmanager
def joined(timeout: float = TIMEOUT_SECONDS) -> Iterator[Ranks | None]:
    """Connect this process with the others, if `torchrun` has started it.

    Args:
        timeout: How many seconds a rank may take to start, and rank 0 from one job to the next.

    Yields:
        In rank 0, the ranks; None if `torchrun` did not start this process.

    Raises:
        SystemExit: In the other ranks, when rank 0 has no more for them to do; with exit code 3 if
            a rank was lost. In all ranks, if `Ranks.finished` was called before `torchrun` has
            started them again.
        WorkerDiedError: If a rank ends or hangs; in rank 1 too if rank 0 does not tell.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield None
        return
    number = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    with losses_told(timeout):
        store, rank, count = next(rendezvous("env://", timeout=timedelta(seconds=timeout)))
        if number and store.check([_NOTHING_LEFT]):
            raise SystemExit(int(store.get(_NOTHING_LEFT)))
    start = _Start(rank, count, number, store, timeout)
    try:
        if rank:
            raise SystemExit(_serve(start))
        threading.Thread(target=_stop_with_torchrun, daemon=True).start()
        with start.loss_noted():
            start.connect()
        try:
            yield Ranks(count, number, start)
        except BaseException:
            with held(), contextlib.suppress(WorkerDiedError):
                start.broadcast(torch.tensor([_NO_MORE]))
            raise
        with start.loss_noted():
            start.broadcast(torch.tensor([_FINISHED]))
            start.meet()
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _stop_with_torchrun() -> None:
    """Ask this process to stop when `torchrun` has ended: nobody else would end the ranks."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(start: _Start) -> int:
    """Take part in jobs until there are no more; return the exit code.

    Raises:
        WorkerDiedError: In rank 1, if a rank was lost and rank 0 does not tell: it may be the one.
    """
    try:
        start.connect()
        for each in STOPPING:  # rank 0 handles them, and tells
            signal.signal(each, signal.SIG_IGN)
        while (size := int(start.broadcast(torch.zeros(1, dtype=torch.int64)))) > 0:
            content = start.broadcast(torch.empty(size, dtype=torch.uint8))
            _take_part(content.numpy().tobytes())
        if size == _FINISHED:
            start.meet()
    except WorkerDiedError as error:
        time.sleep(_PATIENCE_SECONDS)  # when one rank ends so, all are ended: rank 0 is saving
        if start.rank == 1 and not start.is_loss_noted():
            raise
        return error.exit_code
    return 0


def _take_part(content: bytes) -> None:
    """Do a job."""
    workers, timeout, packed = pickle.loads(content)
    member = Member(workers, timeout)
    try:
        _unpacked(packed)(member)
        member.all_gather()
    except ClosedError:
        pass
    except WorkerDiedError:
        raise
    except Exception as error:
        member.leave(FAILED, error)
    finally:
        member.end()


def _unpacked(packed: bytes) -> Job:
    """Return a job that rank 0, which has the first GPU of its machine, has packed."""
    places = {"cuda:0": f"cuda:{os.environ['LOCAL_RANK']}"}
    try:
        job: Job = torch.load(io.BytesIO(packed), map_location=places, weights_only=False)
    except Exception as error:  # a foreign class may raise anything
        raise unsendable(f"{type(error).__name__}: {error}") from error
    return job
