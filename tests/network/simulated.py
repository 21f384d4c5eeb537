"""Collective operations message by message: who has what afterwards, and when the last arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Blocks = Sequence[int]
Step = Sequence[tuple[int, int, Blocks]]
"""Messages that are sent at the same time: from, to, and which blocks."""


@dataclass
class Worker:
    """What a worker has, and when it had the last of it."""

    held: dict[int, frozenset[int]]
    """Of each block, whose part is in it."""
    ready: float = 0.0
    out_free: float = 0.0
    in_free: float = 0.0
    sent: float = 0.0
    received: float = 0.0


@dataclass
class Simulation:
    """Workers with a link each, whose two directions carry one message after another.

    A message leaves once its sender has all that came in earlier steps, and once both lines are
    free for it; its bytes take both for as long as they need, and arrive a latency later.
    """

    workers: list[Worker]
    latency: float
    per_byte: float
    block: float
    """Bytes of a block."""

    def run(self, steps: Iterable[Step], *, add: bool = False) -> None:
        """Send the messages; blocks that arrive replace what is there, or are added to it."""
        for step in steps:
            before = [(worker.ready, dict(worker.held)) for worker in self.workers]
            for source, to, blocks in step:
                ready, held = before[source]
                self._send(self.workers[source], self.workers[to], ready, len(blocks) * self.block)
                for block in blocks:
                    there = self.workers[to].held.get(block, frozenset()) if add else frozenset()
                    assert not there & held[block], "a part of the sum was counted twice"
                    self.workers[to].held[block] = there | held[block]

    def _send(self, source: Worker, to: Worker, ready: float, size: float) -> None:
        start = max(ready, source.out_free, to.in_free - self.latency)
        source.out_free = start + size * self.per_byte
        to.in_free = to.ready = source.out_free + self.latency
        source.sent, to.received = source.sent + size, to.received + size

    @property
    def seconds(self) -> float:
        return max(worker.ready for worker in self.workers)


def ring_gather(count: int) -> list[Step]:
    """Everybody passes on what came last."""
    return [
        [(own, (own + 1) % count, [(own - step) % count]) for own in range(count)]
        for step in range(count - 1)
    ]


def ring_scatter(count: int) -> list[Step]:
    """Everybody adds its part to what came last, and passes on the sum; block n ends at n."""
    return [
        [(own, (own + 1) % count, [(own - step - 1) % count]) for own in range(count)]
        for step in range(count - 1)
    ]


def tree_gather(count: int) -> list[Step]:
    """Everybody doubles what it has: the blocks from its own on."""
    steps, distance = [], 1
    while distance < count:
        some = range(min(distance, count - distance))
        steps.append(
            [
                (own, (own - distance) % count, [(own + each) % count for each in some])
                for own in range(count)
            ]
        )
        distance *= 2
    return steps


def backwards(steps: Sequence[Step]) -> list[Step]:
    """Return a gathering run backwards, which scatters sums."""
    return [[(to, source, blocks) for source, to, blocks in step] for step in reversed(steps)]


def simulated(count: int, held: Callable[[int], Iterable[int]], *link: float) -> Simulation:
    """Return workers that each have their own part of some blocks."""
    workers = [Worker({block: frozenset({own}) for block in held(own)}) for own in range(count)]
    return Simulation(workers, *link)
