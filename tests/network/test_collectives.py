"""The formulas against messages sent one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench.network import Collective, Link
from regtopk_bench.network.collectives import all_gather, all_reduce, through_server
from tests.network.simulated import (
    Simulation,
    backwards,
    ring_gather,
    ring_scatter,
    simulated,
    tree_gather,
)

GATHER = {"ring": ring_gather, "tree": tree_gather}
SCATTER = {"ring": ring_scatter, "tree": lambda count: backwards(tree_gather(count))}

workers = st.integers(1, 17)
sizes = st.floats(1.0, 1e9)
links = st.builds(Link, st.floats(1e5, 1e12), st.floats(0.0, 0.1))


def assert_as_simulated(found: Collective, link: Link, simulation: Simulation) -> None:
    assert link.seconds(found) == pytest.approx(simulation.seconds)
    for worker in simulation.workers:
        assert (found.sent, found.received) == pytest.approx((worker.sent, worker.received))
        assert found.carried == pytest.approx(max(worker.sent, worker.received))


@pytest.mark.parametrize("topology", ["ring", "tree"])
@given(count=workers, size=sizes, link=links)
def test_all_gather(topology: str, count: int, size: float, link: Link) -> None:
    simulation = simulated(count, lambda own: [own], link.latency, 8.0 / link.bandwidth, size)
    simulation.run(GATHER[topology](count))
    for worker in simulation.workers:
        assert worker.held == {each: frozenset({each}) for each in range(count)}
    assert_as_simulated(all_gather(topology, count, size), link, simulation)


@pytest.mark.parametrize("topology", ["ring", "tree"])
@given(count=workers, size=sizes, link=links)
def test_all_reduce(topology: str, count: int, size: float, link: Link) -> None:
    """All parts of every block are added up at one worker, and gathered."""
    per_byte = 8.0 / link.bandwidth
    simulation = simulated(count, lambda own: range(count), link.latency, per_byte, size / count)
    simulation.run(SCATTER[topology](count), add=True)
    for own, worker in enumerate(simulation.workers):
        assert worker.held[own] == frozenset(range(count))
    simulation.run(GATHER[topology](count))
    for worker in simulation.workers:
        assert worker.held == dict.fromkeys(range(count), frozenset(range(count)))
    assert_as_simulated(all_reduce(topology, count, size), link, simulation)


@given(count=st.integers(2, 17), size=sizes, answer=sizes, link=links)
def test_through_a_server(count: int, size: float, answer: float, link: Link) -> None:
    found = through_server(count, size, answer)
    simulation = simulated(count + 1, lambda own: [own], link.latency, 8.0 / link.bandwidth, size)
    simulation.run([[(own, count, [own]) for own in range(count)]])
    simulation.block = answer
    simulation.run([[(count, own, [count]) for own in range(count)]])
    *others, server = simulation.workers
    assert link.seconds(found) == pytest.approx(simulation.seconds)
    assert found.carried == pytest.approx(server.sent + server.received)
    for worker in others:
        assert (found.sent, found.received) == pytest.approx((worker.sent, worker.received))


@pytest.mark.parametrize("topology", ["ring", "tree", "server"])
def test_one_worker_has_nobody_to_talk_to(topology: str) -> None:
    for operation in (all_gather, all_reduce):
        assert operation(topology, 1, 1e6) == Collective(0, 0.0, 0.0, 0.0)


@given(count=workers, size=sizes)
def test_a_tree_takes_fewer_steps_and_the_same_bytes(count: int, size: float) -> None:
    for operation in (all_gather, all_reduce):
        ring, tree = (operation(topology, count, size) for topology in ("ring", "tree"))
        assert tree.steps <= ring.steps
        assert tree.carried == ring.carried
