"""What exchanging messages takes, as a function of the bandwidth between nodes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Way:
    """One way to do it: T = fixed + carried / β, with β in bytes per second."""

    fixed: float
    """Seconds that do not depend on the links between nodes: latencies, and what is exchanged
    within nodes."""

    carried: float
    """Bytes through the busiest link between nodes, in its busier direction."""

    sent: float
    """Bytes that a worker sends, on links of either kind."""

    received: float
    """Bytes that a worker receives, on links of either kind."""

    def on(self, per_byte: float) -> float:
        """Return how long it takes where a byte takes so many seconds."""
        return self.fixed + per_byte * self.carried

    def __add__(self, other: Way) -> Way:
        """Return both, one after the other."""
        return Way(
            self.fixed + other.fixed,
            self.carried + other.carried,
            self.sent + other.sent,
            self.received + other.received,
        )


@dataclass(frozen=True)
class Exchange:
    """What exchanging messages takes: the fastest of several ways."""

    bandwidth: float
    """bit/s of the links between nodes, in each direction."""

    ways: tuple[Way, ...]
    """At least one."""

    def on(self, per_byte: float) -> float:
        """Return how long it takes where a byte takes so many seconds between nodes."""
        return min(way.on(per_byte) for way in self.ways)

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.on(8.0 / self.bandwidth)

    @property
    def way(self) -> Way:
        """The fastest way."""
        return min(self.ways, key=lambda way: way.on(8.0 / self.bandwidth))

    def at(self, bandwidth: float) -> Exchange:
        """Return it with links of so many bit/s between nodes."""
        return replace(self, bandwidth=bandwidth)

    def or_else(self, other: Exchange) -> Exchange:
        """Return whichever is faster."""
        return replace(self, ways=self.ways + other.ways)

    def then(self, other: Exchange) -> Exchange:
        """Return both, one after the other."""
        pairs = itertools.product(self.ways, other.ways)
        return replace(self, ways=tuple(first + second for first, second in pairs))
