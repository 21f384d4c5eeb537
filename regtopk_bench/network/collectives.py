"""What a collective operation takes on links of one kind, as formulas.

The model is that of Hockney: a message of m bytes takes α + m/β, with the latency α in seconds and
the bandwidth β in bytes per second. Links carry both directions at once, every worker has one of
its own to a switch that holds nothing up, and adding numbers takes no time. A formula is
then a number of steps, one after the other, and the bytes that the busiest link carries in its
busier direction: T = steps · α + carried / β.

Sources:
    Thakur, Rabenseifner & Gropp, "Optimization of Collective Communication Operations in MPICH",
    International Journal of High Performance Computing Applications 19(1), 2005.

    Patarasuk & Yuan, "Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations",
    Journal of Parallel and Distributed Computing 69(2), 2009.

    Chan, Heimlich, Purkayastha & van de Geijn, "Collective Communication: Theory, Practice, and
    Experience", Concurrency and Computation: Practice and Experience 19(13), 2007.

    Bruck, Ho, Kipnis, Upfal & Weathersby, "Efficient Algorithms for All-to-All Communications in
    Multiport Message-Passing Systems", IEEE Transactions on Parallel and Distributed Systems 8(11),
    1997.

    Li et al., "Scaling Distributed Machine Learning with the Parameter Server", OSDI 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Topology = Literal["ring", "tree", "server"]


@dataclass(frozen=True)
class Collective:
    """What an operation takes."""

    steps: int
    """Messages that wait for each other: each adds a latency."""

    carried: float
    """Bytes through the busiest link, in one direction."""

    sent: float
    """Bytes that a worker sends."""

    received: float
    """Bytes that a worker receives."""


def all_gather(topology: Topology, workers: int, size: float) -> Collective:
    """Return what it takes until all N workers have the message of each, of m = `size` bytes.

    (N - 1) · m arrive at each of them, and fewer cannot (Chan et al. 2007). On a ring each passes
    on what came last, in N - 1 steps (Thakur et al. 2005); in a tree they double what they have,
    in ⌈log₂ N⌉ steps: recursive doubling or, for any N, Bruck et al. (1997). A server sends all of
    them to everybody.
    """
    if topology == "server":
        return through_server(workers, size, workers * size)
    steps = workers - 1 if topology == "ring" else (workers - 1).bit_length()
    others = (workers - 1) * size
    return Collective(steps, others, others, others)


def all_reduce(topology: Topology, workers: int, size: float) -> Collective:
    """Return what it takes until all N workers have the sum of their vectors, of M = `size` bytes.

    Each N-th of the vectors is first added up at one worker (a reduce-scatter, which is an
    all-gather backwards: Chan et al. 2007), and then gathered. That sends 2 (N - 1)/N · M, the
    least there is (Patarasuk & Yuan 2009), in 2 (N - 1) steps on a ring and 2 ⌈log₂ N⌉ in a tree
    (Rabenseifner's algorithm in Thakur et al. 2005, whose N is a power of 2; for any N, with the
    schedule of Bruck et al. backwards and forwards).
    """
    if topology == "server":
        return through_server(workers, size, size)
    half = all_gather(topology, workers, size / workers)
    return Collective(2 * half.steps, 2 * half.carried, 2 * half.sent, 2 * half.received)


def through_server(workers: int, message: float, aggregate: float) -> Collective:
    """Return what it takes if one server receives all messages and returns something to everybody.

    N messages arrive on the server's link, and then N answers leave on it: two steps, and
    N · (message + answer) bytes (the parameter server of Li et al. 2014, on one machine). The
    server's link is like a worker's.

    Args:
        workers: N.
        message: Bytes of a worker's message.
        aggregate: Bytes of the answer, such as the sum of all messages.
    """
    if workers == 1:  # which has nobody to hear from
        return Collective(0, 0.0, 0.0, 0.0)
    return Collective(2, workers * (message + aggregate), message, aggregate)
