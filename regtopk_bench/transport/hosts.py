"""The other processes of a pool, as the one that opened it sees them."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Semaphore

from torch import Tensor

from regtopk_bench.errors import WorkerDiedError

POLL_SECONDS = 0.2
"""How often a waiting process checks that the others are still there."""

_VERDICT_SECONDS = 3.0  # a round may be long, but a run that failed should end soon
_LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class MeetingPoint:
    """What the opener and one other process share besides the arena."""

    arrived: Semaphore
    """Released by the other process when it has arrived."""
    go: Semaphore
    """Released by the opener when all have arrived, or the pool ends."""
    closed: Tensor
    """One shared byte, set when the pool ends before its job does."""


class Host:
    """A process that the opener started to host some of the workers."""

    def __init__(
        self,
        rank: int,
        workers: range,
        process: BaseProcess,
        connection: Connection,
        meeting_point: MeetingPoint,
    ) -> None:
        self.rank, self.workers = rank, workers
        self.process, self.connection = process, connection
        self.meeting_point = meeting_point
        self.error: Exception | None = None
        """What was raised there, if already known."""

    def has_come(self, seconds: float) -> bool:
        """Wait for it to reach the meeting point; each arrival is reported only once."""
        return self.meeting_point.arrived.acquire(timeout=seconds)

    def has_ended(self) -> bool:
        """Say whether it raised or died, and receive the error that explains it."""
        alive = self.process.is_alive()  # asked first: a process sends its error, then ends
        if self.error is None:
            with contextlib.suppress(EOFError, OSError):  # it died, or died while sending
                if self.connection.poll():
                    self.error = self.connection.recv()
        return self.error is not None or not alive

    def death(self) -> WorkerDiedError:
        """Describe an end without an error."""
        return died(self.rank, self.workers, f"died ({_cause(self.process.exitcode)})")


def wait_for_all(hosts: Sequence[Host]) -> None:
    """Wait until every process has reached the meeting point.

    Raises:
        Exception: What another process raised; of several, that of the lowest rank.
        WorkerDiedError: If one died, and none raised.
    """
    for place, host in enumerate(hosts):
        while not host.has_come(POLL_SECONDS):
            _raise_failure(hosts, awaited=hosts[place:])


def _raise_failure(hosts: Sequence[Host], awaited: Sequence[Host]) -> None:
    """Raise what ended a process, if one has ended.

    Which failure is reported must not depend on which came first, so the others are given time
    to reach the meeting point or to fail as well.
    """
    if not any(host.has_ended() for host in hosts):
        return
    deadline = time.monotonic() + _VERDICT_SECONDS
    while awaited and time.monotonic() < deadline:
        awaited = [host for host in awaited if not (host.has_ended() or host.has_come(0))]
        time.sleep(_LOOK_SECONDS)
    ended = [host for host in hosts if host.has_ended()]
    for host in ended:  # an error explains more than a death
        if host.error is not None:
            raise host.error
    raise ended[0].death()


def died(rank: int, workers: range, how: str) -> WorkerDiedError:
    """Return an error that names a lost process."""
    return WorkerDiedError(
        f"process {rank} of the pool, hosting workers {workers.start} to {workers.stop - 1}, "
        f"{how}; run again, or with --processes 1"
    )


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
