from __future__ import annotations

import dataclasses

import pytest
import torch

import regtopk_bench as rb


def test_all_workers_send_the_same_entries_and_rounds_differ() -> None:
    sparsifier = rb.RandomK(k=5)
    state = sparsifier.init(rb.Placement.alone(4, 50, seed=1))
    drawn = [sparsifier.compress(state, torch.ones(4, 50, dtype=torch.float64)) for _ in range(20)]
    for message in drawn:
        assert bool((message.indices == message.indices[0]).all())
    assert len({tuple(message.indices[0].tolist()) for message in drawn}) > 15


def test_every_entry_is_drawn_equally_often() -> None:
    sparsifier = rb.RandomK(k=4)
    state = sparsifier.init(rb.Placement.alone(1, 16, torch.float32, seed=7))
    counts = torch.zeros(16)
    for _ in range(4000):
        counts[sparsifier.compress(state, torch.zeros(1, 16)).indices[0]] += 1
    expected, tolerance = 1000.0, 5 * (4000 * 0.25 * 0.75) ** 0.5
    assert bool(((counts - expected).abs() < tolerance).all())


def test_without_error_feedback_the_mean_is_unbiased() -> None:
    sparsifier = rb.RandomK(k=2, error_feedback=False)
    state = sparsifier.init(rb.Placement.alone(1, 8, seed=5))
    grad = torch.arange(1.0, 9.0, dtype=torch.float64)[None]
    total = torch.zeros(8, dtype=torch.float64)
    for _ in range(4000):
        message = sparsifier.compress(state, grad)
        total += rb.aggregate(message, torch.ones(1, dtype=torch.float64))
        assert not state.residual_NJ.any()
    assert torch.allclose(total / 4000, grad[0], rtol=0.15)


@pytest.mark.parametrize("first", [0, 2])
def test_draws_follow_seed_and_round_not_the_workers_hosted(first: int) -> None:
    grad = torch.ones(4, 50, dtype=torch.float64)
    whole = rb.Placement.alone(4, 50, seed=3)
    part = dataclasses.replace(
        whole, workers=range(first, first + 2), weights_N=whole.weights_N[first : first + 2]
    )
    sparsifier = rb.RandomK(k=5)
    states = sparsifier.init(whole), sparsifier.init(part)
    for _ in range(3):
        everyone, some = (
            sparsifier.compress(states[0], grad),
            sparsifier.compress(states[1], grad[:2]),
        )
        assert torch.equal(everyone.indices[first : first + 2], some.indices)


def test_no_two_draws_of_a_placement_are_the_same() -> None:
    whole = rb.Placement.alone(2, 6, shapes=((3,), (3,)))
    placements = [whole, *whole.layers()]
    numbers = [(3,), (3, 0), (3, 1), (0,), (0, 0), (1,), (1, 0), (0, 1)]
    drawn = {
        placement.generator(*each).integers(2**62) for placement in placements for each in numbers
    }
    assert len(drawn) == len(placements) * len(numbers)


def test_layers_of_equal_size_have_draws_of_their_own() -> None:
    sparsifier = rb.PerLayer(rb.RandomK(k=5))
    state = sparsifier.init(rb.Placement.alone(1, 100, shapes=((5, 10), (50,))))
    first, second = sparsifier.compress(state, torch.ones(1, 100, dtype=torch.float64)).parts
    assert first.indices.tolist() != second.indices.tolist()
