"""The other processes of a pool, as the one that opened it sees them."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Sequence

from regtopk_bench.transport.children import POLL_SECONDS, Child

ARRIVED, GO, FAILED = b"a", b"g", b"f"
"""What processes tell each other: a byte, and after the last one the error itself."""

_VERDICT_SECONDS = 3.0  # a round may be long, but a run that failed should end soon
_LOOK_SECONDS = 0.01


class Host:
    """A process that the opener started to host some of the workers.

    Attributes:
        child: The process.
        arrived: Whether it has reached the meeting point, and waits there.
        ended: Whether it raised or died.
        error: What was raised there, if it said so.
    """

    def __init__(self, child: Child) -> None:
        self.child = child
        self.arrived = self.ended = False
        self.error: Exception | None = None
        self._fd = child.connection.fileno()
        self._readable = select.poll()
        self._readable.register(self._fd, select.POLLIN)

    def look(self, seconds: float) -> None:
        """Wait for it to arrive or to end."""
        if self.ended or not self._readable.poll(1000.0 * seconds):
            return
        said = b""
        with contextlib.suppress(ConnectionError):
            said = os.read(self._fd, 1)
        if said == ARRIVED:
            self.arrived = True
            return
        self.ended = True
        if said == FAILED:
            with contextlib.suppress(EOFError, OSError):  # it died while sending
                self.error = self.child.connection.recv()

    def let_go(self) -> None:
        """Let it continue from the meeting point."""
        self.arrived = False
        with contextlib.suppress(OSError):  # it died; the next meeting will tell
            os.write(self._fd, GO)


def wait_for_all(hosts: Sequence[Host], seconds: float) -> None:
    """Wait until every process has reached the meeting point.

    Args:
        hosts: The processes.
        seconds: How long one may keep this process waiting. While this process itself is stopped,
            time does not count.

    Raises:
        Exception: What another process raised; of several, that of the lowest rank.
        WorkerDiedError: If one died, and none raised; or if one does not answer.
    """
    for host in hosts:
        waited = 0.0
        while not host.arrived:
            host.look(POLL_SECONDS)
            if not host.arrived:
                _raise_failure(hosts)
                waited += POLL_SECONDS
                if waited >= seconds:
                    raise host.child.silence(seconds)


def _raise_failure(hosts: Sequence[Host]) -> None:
    """Raise what ended a process, if one has ended.

    Which failure is reported must not depend on which came first, so the others are given time
    to reach the meeting point or to fail as well.
    """
    for host in hosts:
        host.look(0)
    if not any(host.ended for host in hosts):
        return
    deadline = time.monotonic() + _VERDICT_SECONDS
    while not all(host.arrived or host.ended for host in hosts) and time.monotonic() < deadline:
        for host in hosts:
            host.look(0)
        time.sleep(_LOOK_SECONDS)
    ended = [host for host in hosts if host.ended]
    for host in ended:  # an error explains more than a death
        if host.error is not None:
            raise host.error
    raise ended[0].child.death()
