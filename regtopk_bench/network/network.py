"""A network as a value, and what it takes to exchange messages on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
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
from regtopk_bench.network.exchange import Exchange, Way
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
        if summed is not None:
            return self.all_reduce(workers, summed)
        if self.between.topology == "server":
            return self._exchange(1, _NOTHING, through_server(workers, message, aggregate))
        return self.all_gather(workers, message)

    def all_gather(self, workers: int, size: float) -> Exchange:
        """Return what it takes until all workers have the message of each, of `size` bytes.

        With two levels, each worker first exchanges its message with its counterparts in other
        nodes, all of a node on its one link, and then all that it has with the others of its node.
        """
        nodes, per_node = self._split(workers)
        between, within = self.between.topology, self._within.topology
        return self._exchange(
            per_node,
            all_gather(within, per_node, nodes * size),
            all_gather(between, nodes, size),
        )

    def all_reduce(self, workers: int, size: float) -> Exchange:
        """Return what it takes until all workers have the sum of their vectors, of `size` bytes.

        With two levels, a reduce-scatter inside each node comes first; then each worker adds up
        its part with its counterparts in other nodes, all of a node on its one link; an all-gather
        inside each node comes last. Short vectors may be exchanged sooner whole, in half the steps:
        then everybody gathers and adds up all of them (as recursive doubling in Thakur et al. 2005
        does for the same reason).
        """
        nodes, per_node = self._split(workers)
        between, within = self.between.topology, self._within.topology
        by_parts = self._exchange(
            per_node,
            all_reduce(within, per_node, size),
            all_reduce(between, nodes, size / per_node),
        )
        return by_parts.or_else(self.all_gather(workers, size))

    @property
    def _within(self) -> Link:
        """The links inside nodes; of no consequence where these are single workers."""
        return self.inside or self.between

    def _split(self, workers: int) -> tuple[int, int]:
        """Return the number of nodes, and how many workers each has."""
        self.check(workers)
        per_node = min(workers, self.per_node)
        return workers // per_node, per_node

    def _exchange(self, per_node: int, inside: Collective, outside: Collective) -> Exchange:
        """Return what operations inside nodes and between them take, one after the other.

        Args:
            per_node: How many workers share a link between nodes.
            inside: What each of them does within its node.
            outside: What each of them does between nodes.
        """
        way = Way(
            outside.steps * self.between.latency + self._within.seconds(inside),
            per_node * outside.carried,
            outside.sent + inside.sent,
            outside.received + inside.received,
        )
        return Exchange(self.between.bandwidth, (way,))

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.per_node}x{self.inside},{self.between}" if self.inside else str(self.between)


_NOTHING = Collective(0, 0.0, 0.0, 0.0)


def _link(part: str, whole_text: str) -> Link:
    """Read `10gbit:50us` or `10gbit:50us:tree`."""
    pieces = [piece.strip().lower() for piece in part.split(":")]
    if len(pieces) not in (2, 3):
        raise ConfigurationError(f"{shown(whole_text)} is not {_EXPECTED}")
    topology: Any = pieces[2] if len(pieces) == 3 else "ring"
    return Link(bits_per_second(pieces[0]), seconds(pieces[1]), topology)
