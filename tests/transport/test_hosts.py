"""Several processes fail at once: which failure is reported does not depend on who was first."""

from __future__ import annotations

import functools
import os
import signal
import time

import pytest
import torch

import regtopk_bench as rb
from regtopk_bench.transport import Transport, open_pool

# What becomes of the processes, by rank: how many seconds after the pool is up, and what.
Fates = dict[int, tuple[float, str]]

_LATER = 1.0


def _meet_fate(fates: Fates, transport: Transport) -> None:
    rank = transport.workers.start
    seconds, fate = fates.get(rank, (0.0, "comes"))
    time.sleep(seconds)
    if fate == "raises":
        raise rb.RunError(f"process {rank} raised")
    if fate == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "leaves":
        return
    transport.all_gather(torch.zeros(1))


@pytest.mark.parametrize(
    ("fates", "reported"),
    [
        ({2: (0.0, "raises")}, "process 2 raised"),
        ({1: (_LATER, "raises"), 2: (0.0, "raises")}, "process 1 raised"),
        ({1: (0.0, "raises"), 2: (_LATER, "raises")}, "process 1 raised"),
        ({1: (0.0, "dies"), 2: (_LATER, "raises")}, "process 2 raised"),
        ({1: (_LATER, "raises"), 2: (0.0, "dies")}, "process 1 raised"),
        ({1: (_LATER, "dies"), 2: (0.0, "dies")}, r"process 1 .* died \(killed by SIGKILL\)"),
        ({1: (_LATER, "comes"), 3: (0.0, "dies")}, r"process 3 .* died \(killed by SIGKILL\)"),
        ({1: (600.0, "comes"), 2: (0.0, "raises")}, "process 2 raised"),  # not waited for
        ({2: (0.0, "leaves")}, r"process 2 .* died \(exit code 0\)"),
    ],
    ids=str,
)
def test_the_lowest_rank_that_raised_is_reported_else_the_lowest_that_died(
    fates: Fates, reported: str
) -> None:
    with (
        pytest.raises(rb.RunError, match=reported),
        open_pool(4, 4, dim=5, itemsize=4, job=functools.partial(_meet_fate, fates)) as transport,
    ):
        transport.all_gather(torch.zeros(1))


class Deadly:
    """Ends the process that receives it."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (1,)


def _ignore(deadly: Deadly, payload: bytes, transport: Transport) -> None:
    pass


def test_a_process_that_dies_while_being_started_is_no_broken_pipe() -> None:
    more_than_a_pipe_holds = bytes(2**24)
    job = functools.partial(_ignore, Deadly(), more_than_a_pipe_holds)
    with (
        pytest.raises(rb.WorkerDiedError, match=r"process 1 .* ended while being started"),
        open_pool(2, 2, dim=5, itemsize=4, job=job),
    ):
        pass
