"""A training step on a network: how long it takes, and when one is shorter than another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from regtopk_bench.network.exchange import Exchange

BACKWARD: Final = 2.0 / 3.0
"""The backward pass's share of a step's computation: it has twice the operations of the forward
pass (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""


@dataclass(frozen=True)
class Step:
    """A step of training, as one worker sees it.

    T = compute + sparsify + max(0, exchange - hidden).
    """

    compute: float
    """Seconds of the forward and the backward pass and the update."""

    sparsify: float
    """Seconds in which the sparsifier chooses what to send; nothing else is done meanwhile."""

    exchange: Exchange

    hidden: float = 0.0
    """Seconds of computation during which messages travel: none where the exchange begins after
    the backward pass, all of that pass where each part of the gradient leaves as soon as it is
    there, if nothing else stands in the way."""

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.on(8.0 / self.exchange.bandwidth)

    def at(self, bandwidth: float) -> Step:
        """Return it with links of so many bit/s between nodes."""
        return replace(self, exchange=self.exchange.at(bandwidth))

    def on(self, per_byte: float) -> float:
        """Return how long it takes where a byte takes so many seconds between nodes."""
        return self.compute + self.sparsify + max(0.0, self.exchange.on(per_byte) - self.hidden)

    @property
    def kinks(self) -> Iterator[float]:
        """The seconds per byte at which another way is the fastest, or a way ceases to be hidden.

        Between them the time is linear in the seconds per byte. There may be a few more.
        """
        lines = [(way.fixed, way.carried) for way in self.exchange.ways] + [(self.hidden, 0.0)]
        for (fixed, carried), (other_fixed, other_carried) in itertools.combinations(lines, 2):
            if carried != other_carried:
                yield max(0.0, (other_fixed - fixed) / (carried - other_carried))

    @property
    def slope(self) -> float:
        """The bytes that count where a byte takes longer than at the last of the kinks."""
        return min(way.carried for way in self.exchange.ways)


def pays_below(ours: Step, theirs: Step, ratio: float = 1.0) -> float:
    """Return the bandwidth, in bit/s, below which one kind of step beats another.

    On all links between nodes that are slower, ours takes less time. Where it also does on some
    faster ones, as it may where latency decides, that is not told.

    Args:
        ours: The one that may pay.
        theirs: What it is compared with.
        ratio: How many of ours are worth one of theirs, as where it takes more to a target.

    Returns:
        Infinity if it pays however fast the links are; 0 if it does not pay however slow they are.
    """

    def gain(per_byte: float) -> float:
        return theirs.on(per_byte) - ratio * ours.on(per_byte)

    places = sorted({0.0, *ours.kinks, *theirs.kinks})
    slope, last = theirs.slope - ratio * ours.slope, gain(places[-1])
    if slope < 0.0 or (slope == 0.0 and last <= 0.0):
        return 0.0
    if last <= 0.0:
        return _bandwidth(places[-1] - last / slope)
    for right, left in itertools.pairwise(reversed(places)):
        if gain(left) <= 0.0:
            share = gain(left) / (gain(left) - gain(right))
            return _bandwidth(left + share * (right - left))
    return math.inf


def _bandwidth(per_byte: float) -> float:
    return 8.0 / per_byte if per_byte else math.inf
