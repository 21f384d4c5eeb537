"""What messages cost on a network: seconds, and the bandwidth below which sending less pays."""

from regtopk_bench.network.collectives import Collective, Topology
from regtopk_bench.network.exchange import Exchange, Way
from regtopk_bench.network.network import Link, Network
from regtopk_bench.network.step import BACKWARD, Step, pays_below

__all__ = [
    "BACKWARD",
    "Collective",
    "Exchange",
    "Link",
    "Network",
    "Step",
    "Topology",
    "Way",
    "pays_below",
]
