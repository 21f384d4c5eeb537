from __future__ import annotations

import pytest
import torch

import regtopk_bench as rb


def test_all_workers_send_the_same_entries_and_rounds_differ() -> None:
    sparsifier = rb.RandomK(k=5, seed=1)
    state = sparsifier.init(4, 50)
    drawn = [sparsifier.compress(state, torch.ones(4, 50, dtype=torch.float64)) for _ in range(20)]
    for message in drawn:
        assert bool((message.indices == message.indices[0]).all())
    assert len({tuple(message.indices[0].tolist()) for message in drawn}) > 15


def test_every_entry_is_drawn_equally_often() -> None:
    sparsifier = rb.RandomK(k=4, seed=7)
    state = sparsifier.init(1, 16, torch.float32)
    counts = torch.zeros(16)
    for _ in range(4000):
        counts[sparsifier.compress(state, torch.zeros(1, 16)).indices[0]] += 1
    expected, tolerance = 1000.0, 5 * (4000 * 0.25 * 0.75) ** 0.5
    assert bool(((counts - expected).abs() < tolerance).all())


def test_without_error_feedback_the_mean_is_unbiased() -> None:
    sparsifier = rb.RandomK(k=2, seed=5, error_feedback=False)
    state = sparsifier.init(1, 8)
    grad = torch.arange(1.0, 9.0, dtype=torch.float64)[None]
    total = torch.zeros(8, dtype=torch.float64)
    for _ in range(4000):
        message = sparsifier.compress(state, grad)
        total += rb.aggregate(message, torch.ones(1, dtype=torch.float64))
        assert not state.residual_NJ.any()
    assert torch.allclose(total / 4000, grad[0], rtol=0.15)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(rb.ConfigurationError, match="below 0"):
        rb.RandomK(k=1, seed=-1)
