from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench.network import Exchange, Network, Step, Way, pays_below

seconds = st.sampled_from([0.0, 1e-3, 0.1, 1.0]) | st.floats(0.0, 10.0)
bytes_carried = st.sampled_from([0.0, 1e6]) | st.floats(1.0, 1e10)
ways = st.lists(
    st.builds(Way, seconds, bytes_carried, st.just(0.0), st.just(0.0)), min_size=1, max_size=3
)
exchanges = st.builds(Exchange, st.just(1e9), ways.map(tuple))
steps = st.builds(Step, st.floats(0.01, 10.0), seconds, exchanges, seconds)

NETWORK = Network.parse("1gbit:1ms")


def step(size: float, sparsify: float = 0.0, hidden: float = 0.0) -> Step:
    return Step(1.0, sparsify, NETWORK.all_gather(2, size), hidden)


def test_a_step_is_computation_and_what_travels_besides() -> None:
    exposed = step(1e8, sparsify=0.2)
    assert exposed.seconds == pytest.approx(1.0 + 0.2 + 0.001 + 0.8)
    assert step(1e8, sparsify=0.2, hidden=0.5).seconds == pytest.approx(1.0 + 0.2 + 0.301)
    assert step(1e8, sparsify=0.2, hidden=5.0).seconds == pytest.approx(1.2)
    assert exposed.at(2e9).seconds == pytest.approx(1.0 + 0.2 + 0.001 + 0.4)


def test_where_two_steps_take_the_same() -> None:
    """0.1 s of its own are worth the 90 MB that it saves at 90e6 · 8 / 0.1 bit/s."""
    assert pays_below(step(1e7, sparsify=0.1), step(1e8)) == pytest.approx(7.2e9)
    overlapped = pays_below(step(1e7, 0.1, hidden=0.6), step(1e8, hidden=0.6))
    assert overlapped == pytest.approx(8e8 / (0.6 + 0.1 - 0.001))


def test_what_sends_less_and_takes_no_time_always_pays() -> None:
    assert pays_below(step(1e7), step(1e8)) == math.inf


def test_what_sends_more_never_pays() -> None:
    assert pays_below(step(1e8), step(1e7)) == 0.0
    assert pays_below(step(1e7), step(1e7)) == 0.0
    assert pays_below(step(1e7), step(1e8), ratio=20.0) == 0.0


def test_more_steps_to_the_target_move_the_bandwidth() -> None:
    few, many = (pays_below(step(1e7), step(1e8), ratio=ratio) for ratio in (1.1, 5.0))
    assert 0.0 < many < few < math.inf


@given(ours=steps, theirs=steps, ratio=st.floats(0.2, 5.0))
def test_it_pays_below_and_not_just_above(ours: Step, theirs: Step, ratio: float) -> None:
    below = pays_below(ours, theirs, ratio)

    def gain(bandwidth: float) -> float:
        """Return what is gained, relative to a step."""
        us, them = ratio * ours.at(bandwidth).seconds, theirs.at(bandwidth).seconds
        return (them - us) / (them + us)

    rounding = 1e-9
    if 0.0 < below < math.inf:
        assert gain(below) == pytest.approx(0.0, abs=rounding)
    if below > 0.0:
        start = below if below < math.inf else 1e18
        assert all(gain(start / factor) >= -rounding for factor in (1.01, 2.0, 10.0, 1e6))
    else:
        assert gain(1e-6) <= rounding


@given(ours=steps, theirs=steps, more=st.floats(0.0, 1.0))
def test_a_slower_sparsifier_pays_less(ours: Step, theirs: Step, more: float) -> None:
    slower = Step(ours.compute, ours.sparsify + more, ours.exchange, ours.hidden)
    assert pays_below(slower, theirs) <= pays_below(ours, theirs)


@given(each=steps, bandwidth=st.floats(1e3, 1e15))
def test_a_faster_link_is_never_slower(each: Step, bandwidth: float) -> None:
    assert each.at(2.0 * bandwidth).seconds <= each.at(bandwidth).seconds
