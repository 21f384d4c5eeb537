"""A network as a value, and what it takes to exchange messages on it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, get_args

from regtopk_bench.arguments import is_real, shown, whole
from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.network.collectives import (
    Collective,
    Topology,
    all_gather,
    all_reduce,
    through_server,
)
from regtopk_bench.network.quantities import (
    bits_per_second,
    seconds,
    written_bandwidth,
    written_seconds,
)

_TOPOLOGIES: tuple[Topology, ...] = get_args(Topology)
_PER_NODE = re.compile(r"([0-9]{1,9})x(.*)", re.ASCII | re.DOTALL)
_EXPECTED = "a network such as 10gbit:50us, or 8x400gbit:5us,25gbit:20us for nodes of 8 workers"


@dataclass(frozen=True)
class Link:
    """What joins workers, or nodes, with each other: one for each, in both directions at once."""

    bandwidth: float
    """bit/s in each direction, above 0."""

    latency: float
    """Seconds before the first bit of a message arrives, at least 0."""

    topology: Topology = "ring"
    """How messages are exchanged: see `collectives`."""

    def __post_init__(self) -> None:
        """Validate ranges."""
        if not (is_real(self.bandwidth) and self.bandwidth > 0.0):
            raise ConfigurationError(f"bandwidth {shown(self.bandwidth)} is not above 0 bit/s")
        if not (is_real(self.latency) and self.latency >= 0.0):
            raise ConfigurationError(f"latency {shown(self.latency)} is not at least 0 s")
        if self.topology not in _TOPOLOGIES:
            raise ConfigurationError(
                f'topology "{self.topology}" is unknown{suggest(str(self.topology), _TOPOLOGIES)}'
            )

    def seconds(self, of: Collective) -> float:
        """Return how long a collective operation takes: steps · α + bytes / β."""
        return of.steps * self.latency + 8.0 * of.carried / self.bandwidth

    def __str__(self) -> str:
        """Return the text that `Network.parse` reads."""
        text = f"{written_bandwidth(self.bandwidth)}:{written_seconds(self.latency)}"
        return text if self.topology == "ring" else f"{text}:{self.topology}"


@dataclass(frozen=True)
class Exchange:
    """What exchanging messages takes, and how that depends on the bandwidth between nodes."""

    bandwidth: float
    """bit/s of the links between nodes."""

    fixed: float = 0.0
    """Seconds that do not depend on it: latencies, and what is exchanged within nodes."""

    carried: float = 0.0
    """Bytes through the busiest link between nodes, in its busier direction."""

    sent: float = 0.0
    """Bytes that a worker sends, on links of either kind."""

    received: float = 0.0
    """Bytes that a worker receives, on links of either kind."""

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.fixed + 8.0 * self.carried / self.bandwidth

    def at(self, bandwidth: float) -> Exchange:
        """Return it with other links between nodes, of so many bit/s."""
        return replace(self, bandwidth=bandwidth)

    def then(self, other: Exchange) -> Exchange:
        """Return both, one after the other."""
        return Exchange(
            self.bandwidth,
            self.fixed + other.fixed,
            self.carried + other.carried,
            self.sent + other.sent,
            self.received + other.received,
        )


@dataclass(frozen=True)
class Network:
    """Links between workers, or between nodes of several workers that have faster links inside.

    As text, `10gbit:50us` is a link of 10·10⁹ bit/s with a latency of 50 µs, whose workers exchange
    messages in a ring; `10gbit:50us:tree` and `10gbit:50us:server` say how else. With
    `8x400gbit:5us,25gbit:20us`, nodes of 8 workers have links of 400 Gbit/s inside, and each node,
    for all its workers, one of 25 Gbit/s to the others.
    """

    between: Link
    """Between nodes; between workers where nodes are none."""

    inside: Link | None = None
    """Between the workers of a node."""

    per_node: int = 1
    """Workers of a node."""

    def __post_init__(self) -> None:
        """Check that both levels fit together."""
        whole(self.per_node, "workers of a node", 1)
        if (self.inside is None) != (self.per_node == 1):
            raise ConfigurationError("links inside nodes need nodes of at least 2 workers")
        if self.inside and "server" in (self.inside.topology, self.between.topology):
            raise ConfigurationError(
                "a parameter server has links of one kind: write it as 10gbit:50us:server"
            )

    @classmethod
    def parse(cls, text: Any) -> Network:
        """Read the text that describes a network.

        Raises:
            ConfigurationError: Saying which part is wrong.
        """
        levels = [level.strip() for level in text.split(",")] if isinstance(text, str) else [""]
        inside = _PER_NODE.fullmatch(levels[0])
        if len(levels) == 1 and not inside:
            return cls(_link(levels[0], text))
        if len(levels) != 2 or not inside:
            raise ConfigurationError(f"{shown(text)} is not {_EXPECTED}")
        return cls(_link(levels[1], text), _link(inside[2], text), int(inside[1]))

    def check(self, workers: int) -> None:
        """Raise ConfigurationError unless so many workers fill their nodes."""
        if workers > self.per_node and workers % self.per_node:
            raise ConfigurationError(
                f"{workers} workers do not fill nodes of {self.per_node}: give a multiple of it"
            )

    def exchange(
        self, workers: int, message: float, summed: float | None, aggregate: float
    ) -> Exchange:
        """Return what it takes until all workers have the sum of their messages.

        Args:
            workers: N.
            message: Bytes of a worker's message.
            summed: Bytes of a sum of messages that can take their place on the way, as they are
                all about the same entries; None if every message has to reach every worker.
            aggregate: Bytes of the sum of all, as a server sends it.
        """
        if self.between.topology == "server" and summed is None:
            return self._exchange(1, through_server(workers, message, aggregate))
        if summed is None:
            return self.all_gather(workers, message)
        return self.all_reduce(workers, summed)

    def all_gather(self, workers: int, size: float) -> Exchange:
        """Return what it takes until all workers have the message of each, of `size` bytes.

        With two levels, each worker first exchanges its message with its counterparts in other
        nodes, all of a node on its one link, and then all that it has with the others of its node.
        """
        nodes, per_node = self._split(workers)
        return self._exchange(
            per_node,
            all_gather(self.between.topology, nodes, size),
            all_gather(self._within.topology, per_node, nodes * size),
        )

    def all_reduce(self, workers: int, size: float) -> Exchange:
        """Return what it takes until all workers have the sum of their vectors, of `size` bytes.

        With two levels, a reduce-scatter inside each node comes first; then each worker adds up
        its part with its counterparts in other nodes, all of a node on its one link; an all-gather
        inside each node comes last.
        """
        nodes, per_node = self._split(workers)
        return self._exchange(
            per_node,
            all_reduce(self.between.topology, nodes, size / per_node),
            all_reduce(self._within.topology, per_node, size),
        )

    @property
    def _within(self) -> Link:
        """The links inside nodes; of no consequence where these are single workers."""
        return self.inside or self.between

    def _split(self, workers: int) -> tuple[int, int]:
        """Return the number of nodes, and how many workers each has."""
        self.check(workers)
        per_node = min(workers, self.per_node)
        return workers // per_node, per_node

    def _exchange(self, per_node: int, outside: Collective, *inside: Collective) -> Exchange:
        """Return what operations take, the one between nodes being that of each worker of a node.

        Args:
            per_node: How many workers share a link between nodes.
            outside: What each of them does there.
            inside: What it does within its node.
        """
        return Exchange(
            self.between.bandwidth,
            outside.steps * self.between.latency + sum(map(self._within.seconds, inside)),
            per_node * outside.carried,
            outside.sent + sum(each.sent for each in inside),
            outside.received + sum(each.received for each in inside),
        )

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.per_node}x{self.inside},{self.between}" if self.inside else str(self.between)


def _link(part: str, whole_text: str) -> Link:
    """Read `10gbit:50us` or `10gbit:50us:tree`."""
    pieces = [piece.strip().lower() for piece in part.split(":")]
    if len(pieces) not in (2, 3):
        raise ConfigurationError(f"{shown(whole_text)} is not {_EXPECTED}")
    topology: Any = pieces[2] if len(pieces) == 3 else "ring"
    return Link(bits_per_second(pieces[0]), seconds(pieces[1]), topology)
