from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from regtopk_bench import ConfigurationError
from regtopk_bench.network import Link, Network, Topology
from regtopk_bench.network.collectives import all_gather, all_reduce

TOPOLOGIES: tuple[Topology, ...] = ("ring", "tree", "server")

bandwidths = st.floats(1.0, 1e15)
latencies = st.floats(0.0, 10.0)
sizes = st.floats(0.0, 1e12)
one_level = st.builds(Network, st.builds(Link, bandwidths, latencies, st.sampled_from(TOPOLOGIES)))
two_levels = st.builds(
    Network,
    *[st.builds(Link, bandwidths, latencies, st.sampled_from(TOPOLOGIES[:2]))] * 2,
    st.integers(2, 16),
)
networks = one_level | two_levels


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10gbit:50us", Network(Link(10e9, 50e-6))),
        ("100mbit:1ms", Network(Link(100e6, 1e-3))),
        ("1.5GBIT:0s", Network(Link(1.5e9, 0.0))),
        (" 25gbit : 20µs : tree ", Network(Link(25e9, 20e-6, "tree"))),
        ("2.5e3mbit:1e1us:server", Network(Link(2.5e9, 10e-6, "server"))),
        (
            "8x400gbit:5us,25gbit:20us",
            Network(Link(25e9, 20e-6), Link(400e9, 5e-6), 8),
        ),
        (
            "8x450gbyte:800ns:tree, 25gbit:20us:tree",
            Network(Link(25e9, 20e-6, "tree"), Link(3600e9, 800e-9, "tree"), 8),
        ),
    ],
)
def test_a_network_is_read_from_text(text: str, network: Network) -> None:
    assert Network.parse(text) == network
    assert Network.parse(str(network)) == network


@given(network=networks)
def test_every_network_can_be_written(network: Network) -> None:
    assert Network.parse(str(network)) == network


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a network such as 10gbit:50us"),
        ("10gbit", '"10gbit" is not a network such as 10gbit:50us'),
        ("8x10gbit:50us", "or 8x400gbit:5us,25gbit:20us for nodes of 8 workers"),
        ("10gbit:50us,10gbit:50us", "is not a network"),
        ("2x1gbit:1us,2x1gbit:1us,1gbit:1us", "is not a network"),
        ("10gbit:50us:ring:tree", "is not a network"),
        ("10gb:50us", "the unit gb is not one of bit, kbit, mbit, gbit, tbit, kbyte"),
        ("50us:10gbit", "the unit us is not one of bit"),
        ("10gbit:50", '"50" is not a time such as 180ms or 50us'),
        ("10gbit:50min", "the unit min is not one of ns, us, ms, s"),
        ("-10gbit:50us", '"-10gbit" is not a bandwidth such as 10gbit'),
        ("0gbit:50us", "bandwidth 0.0 is not above 0 bit/s"),
        ("1e999gbit:50us", '"1e999gbit" is too large'),
        ("10gbit:50us:rnig", 'topology "rnig" is unknown; did you mean "ring"?'),
        ("1x10gbit:5us,1gbit:5us", "nodes of at least 2 workers"),
        ("0x10gbit:5us,1gbit:5us", "workers of a node 0 is not at least 1"),
        ("8x10gbit:5us,1gbit:5us:server", "a parameter server has links of one kind"),
        ("١gbit:5us", "is not a bandwidth"),
        (10, "10 is not a network"),
        (None, "None is not a network"),
        (["10gbit:50us"], "is not a network"),
    ],
)
def test_what_is_no_network_is_refused_in_one_line(text: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Network.parse(text)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((math.inf, 0.0), "bandwidth inf is not above 0"),
        ((1e9, -1.0), "latency -1.0 is not at least 0 s"),
        ((1e9, math.nan), "latency nan"),
        (("1gbit", 0.0), 'bandwidth "1gbit"'),
        ((True, 0.0), "bandwidth True"),
    ],
)
def test_links_that_cannot_be_are_refused(values: tuple[Any, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Link(*values)


def test_workers_have_to_fill_their_nodes() -> None:
    network = Network.parse("8x400gbit:5us,25gbit:20us")
    network.check(64)
    network.check(3)
    with pytest.raises(ConfigurationError, match="12 workers do not fill nodes of 8"):
        network.all_reduce(12, 1e6)


@given(network=networks, nodes=st.integers(1, 9), size=sizes)
def test_a_faster_link_is_never_slower(network: Network, nodes: int, size: float) -> None:
    workers = nodes * network.per_node
    for exchange in (network.all_gather(workers, size), network.all_reduce(workers, size)):
        slow, same, fast = (exchange.at(f * exchange.bandwidth).seconds for f in (0.5, 1.0, 2.0))
        assert fast <= same <= slow
        assert same == exchange.seconds


@given(network=networks, nodes=st.integers(1, 9), size=sizes, more=st.floats(1.0, 10.0))
def test_less_never_takes_longer(network: Network, nodes: int, size: float, more: float) -> None:
    workers = nodes * network.per_node
    for operation in (network.all_gather, network.all_reduce):
        less = operation(workers, size)
        assert less.seconds <= operation(workers, more * size).seconds
    assert network.all_reduce(workers, size).seconds <= network.all_gather(workers, size).seconds


@given(network=one_level, workers=st.integers(2, 40), size=sizes)
def test_one_level_is_a_single_operation(network: Network, workers: int, size: float) -> None:
    """Of an all-reduce the faster way: by parts, or of whole vectors that everybody adds up."""
    link, topology = network.between, network.between.topology
    gathered, reduced = (each(topology, workers, size) for each in (all_gather, all_reduce))
    assert network.all_gather(workers, size).seconds == pytest.approx(link.seconds(gathered))
    fastest = min(map(link.seconds, (gathered, reduced)))
    found = network.all_reduce(workers, size)
    assert found.seconds == pytest.approx(fastest)
    assert found.way.sent in (gathered.sent, reduced.sent)


def by_step(per_node: int, nodes: int, size: float, network: Network) -> float:
    """Gather messages on two levels in rings, step by step, and return how long that takes.

    In each step all workers send at the same time; the link of a node carries what its workers
    send to other nodes.
    """
    assert network.inside
    held = {worker: {worker} for worker in range(nodes * per_node)}
    last = {worker: {worker} for worker in held}
    seconds = 0.0
    outward = {worker: (worker + per_node) % len(held) for worker in held}
    inward = {worker: worker - worker % per_node + (worker + 1) % per_node for worker in held}
    for link, to, steps, share in (
        (network.between, outward, nodes - 1, per_node),
        (network.inside, inward, per_node - 1, 1),
    ):
        for _ in range(steps):
            bytes_sent = size * share * len(last[0])
            seconds += link.latency + 8.0 * bytes_sent / link.bandwidth
            last = {to[worker]: passed for worker, passed in last.items()}
            for worker, passed in last.items():
                assert not held[worker] & passed
                held[worker] |= passed
        last = {worker: set(every) for worker, every in held.items()}
    assert all(every == set(held) for every in held.values())
    return seconds


@given(
    between=st.builds(Link, st.floats(1e6, 1e12), latencies),
    inside=st.builds(Link, st.floats(1e6, 1e12), latencies),
    per_node=st.integers(2, 6),
    nodes=st.integers(1, 6),
    size=st.floats(1.0, 1e9),
)
def test_two_levels(between: Link, inside: Link, per_node: int, nodes: int, size: float) -> None:
    network, workers = Network(between, inside, per_node), nodes * per_node
    gathered = network.all_gather(workers, size)
    assert gathered.seconds == pytest.approx(by_step(per_node, nodes, size, network))
    assert gathered.way.received == pytest.approx((workers - 1) * size)
    by_parts = network.all_reduce(workers, size).ways[0]
    assert by_parts.sent == pytest.approx(2 * (workers - 1) / workers * size)
    assert by_parts.carried == pytest.approx(2 * (nodes - 1) / nodes * size)


def test_links_inside_one_node_are_all_that_counts_there() -> None:
    inside, workers = Network.parse("400gbit:5us"), 8
    network = Network.parse("8x400gbit:5us,1mbit:1s")
    assert network.all_reduce(workers, 1e6).seconds == inside.all_reduce(workers, 1e6).seconds
    assert network.all_gather(workers, 1e6).seconds == inside.all_gather(workers, 1e6).seconds


@given(network=networks, nodes=st.integers(1, 9), size=sizes, more=sizes)
def test_one_exchange_after_another(network: Network, nodes: int, size: float, more: float) -> None:
    workers = nodes * network.per_node
    first, then = network.all_gather(workers, size), network.all_reduce(workers, more)
    both = first.then(then)
    assert both.seconds == pytest.approx(first.seconds + then.seconds)
    assert both.way.sent >= first.way.sent


@given(workers=st.integers(2, 40), size=st.floats(1.0, 1e9), share=st.floats(0.1, 1.0))
def test_how_messages_are_exchanged(workers: int, size: float, share: float) -> None:
    ring, server = Network.parse("1gbit:1ms"), Network.parse("1gbit:1ms:server")
    aggregate, summed = min(workers, 3) * size, share * size
    assert ring.exchange(workers, size, None, aggregate) == ring.all_gather(workers, size)
    for network in (ring, server):
        reduced = network.exchange(workers, size, summed, aggregate)
        assert reduced == network.all_reduce(workers, summed)
    through = server.exchange(workers, size, None, aggregate)
    assert (through.way.sent, through.way.received) == (size, aggregate)
    assert through.seconds == pytest.approx(2e-3 + 8e-9 * workers * (size + aggregate))
    assume(workers > 2)
    assert through.seconds <= server.all_gather(workers, size).seconds
