"""What a step costs with each sparsifier, and how that compares with the reference."""

from __future__ import annotations

import json
import math

import pytest

from regtopk_bench.network import Network
from regtopk_bench.results.costs import CostLine, Costs, Rounds, dump
from tests.results.costed import OTHER, WHOLE, costs, entry, footprint


def times(line: CostLine) -> tuple[float, float]:
    return line.exposed.seconds, line.overlapped.seconds


def test_what_steps_take() -> None:
    found = costs(entry())
    whole, sparse = found.lines
    assert found.reference is whole
    reduced = 14 * 1e-3 + 2 * 7 / 8 * 100e6 * 8e-9
    assert times(whole) == pytest.approx((0.3 + reduced, 0.1 + reduced))
    gathered = 7 * 1e-3 + 7 * 1e6 * 8e-9
    assert sparse.communication_seconds == pytest.approx(gathered)
    assert times(sparse) == pytest.approx((0.35 + gathered, 0.35))
    assert (sparse.sent_bytes, sparse.received_bytes) == (7e6, 7e6)
    assert (sparse.label, sparse.density, sparse.has_density) == ("topk", 0.01, True)
    assert (whole.density, whole.has_density) == (1.0, False)


def test_how_they_compare() -> None:
    whole, sparse = costs(entry()).lines
    for mode in ("exposed", "overlapped"):
        ours, theirs = getattr(sparse, mode), getattr(whole, mode)
        assert ours.speed_up == pytest.approx(theirs.seconds / ours.seconds)
        assert (theirs.speed_up, theirs.pays, theirs.break_even) == (1.0, None, None)
        assert (ours.to_target, theirs.to_target) == (None, None)


@pytest.mark.parametrize("mode", ["exposed", "overlapped"])
@pytest.mark.parametrize(
    "network", ["1gbit:1ms", "1gbit:1ms:tree", "10gbit:1us:server", "4x100gbit:1us,1gbit:1ms"]
)
def test_where_it_pays_times_cross(mode: str, network: str) -> None:
    found = costs(entry(), network=network)
    line = found.lines[1]
    timed = getattr(line, mode)
    assert timed.pays == "below"
    assert timed.break_even == timed.pays_below
    for factor, longer in ((0.99, True), (1.0, None), (1.01, False)):
        ours, theirs = (
            found.step(each.footprint, overlapped=mode == "overlapped")
            .at(factor * timed.pays_below)
            .seconds
            for each in (line, found.reference)
        )
        assert ours == pytest.approx(theirs) if longer is None else (ours < theirs) == longer


def test_what_always_or_never_pays() -> None:
    free, heavy = costs(entry(sparsify_seconds=0.0), entry(OTHER, size=200e6)).lines[1:]
    assert (free.exposed.pays, free.exposed.break_even) == ("always", math.inf)
    assert (heavy.exposed.pays, heavy.exposed.break_even) == ("never", 0.0)
    assert (free.exposed.pays_below, heavy.exposed.pays_below) == (None, None)


def test_agreeing_on_a_selection_is_sent_and_takes_time() -> None:
    alone, agreeing = costs(entry(), entry(OTHER, coordination_bytes=1e6)).lines[1:]
    assert agreeing.received_bytes == pytest.approx(2 * alone.received_bytes)
    assert agreeing.communication_seconds == pytest.approx(2 * alone.communication_seconds)


def test_rounds_to_a_target_are_folded_in() -> None:
    """Twice the rounds halve the gain, and move the bandwidth below which it pays."""
    told = Rounds(result="runs/A", target="0.1", workers=8)
    once = costs(entry(rounds=100.0), reference=100.0, rounds=told).lines[1].exposed
    twice = costs(entry(rounds=200.0), reference=100.0, rounds=told).lines[1].exposed
    assert once.to_target == pytest.approx(100.0 * once.seconds)
    assert twice.to_target == pytest.approx(200.0 * once.seconds)
    assert once.speed_up == pytest.approx(2.0 * (twice.speed_up or 0.0))
    assert (twice.pays_below or 0.0) < (once.pays_below or 0.0)


@pytest.mark.parametrize(("ours", "theirs"), [(None, 100.0), (100.0, None), (None, None)])
def test_what_did_not_reach_it_is_not_compared(ours: float | None, theirs: float | None) -> None:
    told = Rounds(result="runs/A", target="0.1", workers=8)
    found = costs(entry(rounds=ours), reference=theirs, rounds=told)
    line = found.lines[1]
    for timed in (line.exposed, line.overlapped):
        assert (timed.speed_up, timed.pays, timed.pays_below) == (None, None, None)
        assert (found.time(timed) is None) == (ours is None)


def test_configurations_are_told_apart() -> None:
    variants = [entry(OTHER | {"mu": mu}) for mu in (4.0, 8.0)]
    entries = [entry(), *variants, entry({"algorithm": "topk", "k": 250_000})]
    found = costs(*entries)
    assert [line.label for line in found.lines[1:]] == [
        "topk",
        "regtopk:mu=4",
        "regtopk:mu=8",
        "topk",
    ]
    assert [line.cell for line in found.lines[1:]] == [each.cell for each in entries]
    assert found.lines[-1].density == 0.01


def test_the_document_is_json_without_infinities() -> None:
    found = costs(entry(sparsify_seconds=0.0))
    content = json.loads(dump(found), parse_constant=lambda name: pytest.fail(name))
    assert (content["schema"], content["version"]) == ("regtopk-bench.cost", 1)
    assert content["lines"][1]["exposed"]["pays"] == "always"
    assert content["lines"][1]["exposed"]["pays_below"] is None
    assert Costs.model_validate(content) == found


def test_a_footprint_on_a_network() -> None:
    ring, server = Network.parse("1gbit:1ms"), Network.parse("1gbit:1ms:server")
    for network in (ring, server):
        assert WHOLE.exchange(network, 8) == network.all_reduce(8, 100e6)
    assert footprint().exchange(ring, 8) == ring.all_gather(8, 1e6)
    assert footprint().exchange(server, 8).way.received == 8e6
