from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given

import regtopk_bench as rb
from tests.strategies import Batch, batches


def published_scores(
    accumulated: torch.Tensor,
    previous: torch.Tensor,
    mask: torch.Tensor,
    aggregate: torch.Tensor,
    weight: float,
    denominator: str,
    mu: float,
    q: float,
) -> torch.Tensor:
    """The published formula, dense: Δ, then |a| tanh(|1 + Δ| / μ) on every entry."""
    below = weight * (previous if denominator == "previous" else accumulated)
    delta = torch.where(mask, (aggregate - weight * previous) / below, q)
    return accumulated.abs() * torch.tanh((1.0 + delta).abs() / mu)


@pytest.mark.parametrize("denominator", ["previous", "current"])
@pytest.mark.parametrize("q", [1e8, 3.0])
@given(batch=batches(rounds=8))
def test_selects_by_the_published_dense_formula(batch: Batch, denominator: Any, q: float) -> None:
    grads = batch.grads.double() + torch.randn(batch.grads.shape, dtype=torch.float64)
    sparsifier = rb.RegTopK(k=batch.k, mu=2.0, q=q, denominator=denominator)
    state = sparsifier.init(rb.Placement.alone(batch.workers, batch.dim))
    weight = 1.0 / batch.workers
    weights = torch.full((batch.workers,), weight, dtype=torch.float64)
    residual = torch.zeros(batch.workers, batch.dim, dtype=torch.float64)
    previous, mask, aggregate = residual, residual.bool(), residual[0]
    for round, grad in enumerate(grads):
        accumulated = residual + grad
        score = accumulated.abs()
        if round:
            score = published_scores(
                accumulated, previous, mask, aggregate, weight, denominator, 2.0, q
            )
        message = sparsifier.compress(state, grad)
        chosen = torch.zeros_like(score).scatter_(1, message.indices, 1.0).bool()
        lowest_in = torch.where(chosen, score, torch.inf).amin(dim=1)
        highest_out = torch.where(chosen, -torch.inf, score).amax(dim=1)
        assert bool((lowest_in >= highest_out * (1 - 1e-12)).all())
        previous, mask = accumulated, chosen
        residual = torch.where(chosen, 0.0, accumulated)
        aggregate = rb.aggregate(message, weights)
        sparsifier.feedback(state, aggregate)


def test_the_first_round_is_topk() -> None:
    grad = torch.randn(3, 30, dtype=torch.float64)
    regular, plain = rb.RegTopK(k=7, mu=4.0), rb.TopK(k=7)
    ours = regular.compress(regular.init(rb.Placement.alone(3, 30)), grad)
    theirs = plain.compress(plain.init(rb.Placement.alone(3, 30)), grad)
    assert torch.equal(ours.indices, theirs.indices)


def test_a_cancelled_entry_loses_its_place() -> None:
    """Two workers send ±10 at entry 0: the aggregate there is 0, so both turn to entry 1."""
    sparsifier = rb.RegTopK(k=1, mu=1.0)
    state = sparsifier.init(rb.Placement.alone(2, 2))
    grad = torch.tensor([[10.0, 1.0], [-10.0, 1.0]], dtype=torch.float64)
    weights = torch.full((2,), 0.5, dtype=torch.float64)
    message = sparsifier.compress(state, grad)
    assert message.indices.tolist() == [[0], [0]]
    sparsifier.feedback(state, rb.aggregate(message, weights))
    assert sparsifier.compress(state, grad).indices.tolist() == [[1], [1]]


def test_an_entry_sent_as_zero_keeps_its_score() -> None:
    sparsifier = rb.RegTopK(k=2, mu=1.0)
    state = sparsifier.init(rb.Placement.alone(1, 3))
    sparsifier.compress(state, torch.tensor([[5.0, 0.0, 0.0]], dtype=torch.float64))
    sparsifier.feedback(state, torch.tensor([5.0, 0.0, 0.0], dtype=torch.float64))
    message = sparsifier.compress(state, torch.tensor([[9.0, 10.0, 9.5]], dtype=torch.float64))
    assert message.indices.tolist() == [[1, 2]]  # not 0, whose factor is tanh(1)


def test_state_beyond_the_residual_is_what_was_sent_and_received() -> None:
    sparsifier = rb.RegTopK(k=3, mu=1.0)
    state = sparsifier.init(rb.Placement.alone(2, 1000))
    message = sparsifier.compress(state, torch.randn(2, 1000, dtype=torch.float64))
    sparsifier.feedback(state, torch.randn(1000, dtype=torch.float64))
    held = sparsifier.state_dict(state)
    assert held.pop("residual_NJ").shape == (2, 1000)
    assert len(held) == 3
    assert all(tensor.shape == (2, 3) for tensor in held.values())
    assert message.indices is held["sent_indices_Nk"]


def test_the_order_of_calls_is_checked() -> None:
    sparsifier, grad = rb.RegTopK(k=1, mu=1.0), torch.ones(2, 3, dtype=torch.float64)
    state = sparsifier.init(rb.Placement.alone(2, 3))
    with pytest.raises(rb.ConfigurationError, match="feedback before the first compress"):
        sparsifier.feedback(state, torch.ones(3, dtype=torch.float64))
    sparsifier.compress(state, grad)
    with pytest.raises(rb.ConfigurationError, match="feedback was not called"):
        sparsifier.compress(state, grad)


def test_feedback_is_checked_before_anything_is_read() -> None:
    sparsifier, grad = rb.RegTopK(k=1, mu=1.0), torch.ones(2, 3, dtype=torch.float64)
    state = sparsifier.init(rb.Placement.alone(2, 3))
    sparsifier.compress(state, grad)
    for wrong in (torch.ones(2).double(), torch.ones(4).double(), torch.ones(3), None):
        with pytest.raises(rb.ConfigurationError, match="aggregate: expected"):
            sparsifier.feedback(state, wrong)  # type: ignore[arg-type]
    sparsifier.feedback(state, torch.ones(3, dtype=torch.float64))
    with pytest.raises(rb.ConfigurationError, match="feedback was called twice"):
        sparsifier.feedback(state, torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("denominator", ["previous", "current"])
@pytest.mark.parametrize("dim", [3, 2**16])
def test_an_aggregate_that_is_no_number_is_found_in_the_next_round(
    denominator: Any, dim: int
) -> None:
    """Not before: a run that diverges ends with its gradients."""
    sparsifier, grad = rb.RegTopK(k=1, denominator=denominator), torch.ones(2, dim).double()
    state = sparsifier.init(rb.Placement.alone(2, dim))
    sparsifier.compress(state, grad)
    sparsifier.feedback(state, torch.full((dim,), torch.nan, dtype=torch.float64))
    with pytest.raises(rb.ConfigurationError, match="an aggregate that is not finite"):
        sparsifier.compress(state, grad)


@pytest.mark.parametrize(
    ("mu", "dtype"), [(1e-320, torch.float64), (1e-50, torch.float32), (1e300, torch.float32)]
)
def test_a_temperature_that_the_dtype_cannot_hold_is_refused(mu: float, dtype: torch.dtype) -> None:
    with pytest.raises(rb.ConfigurationError, match=f"is not from .* {dtype} can divide by it"):
        rb.RegTopK(k=1, mu=mu).init(rb.Placement.alone(2, 3, dtype))


@pytest.mark.parametrize("mu", [2e-38, 8e37])
def test_an_extreme_temperature_is_computed(mu: float) -> None:
    """From the smallest normal number to its reciprocal, factors are what float64 makes them."""
    chosen = []
    for dtype in (torch.float32, torch.float64):
        sparsifier = rb.RegTopK(k=2, mu=mu)
        state = sparsifier.init(rb.Placement.alone(2, 30, dtype))
        generator = torch.Generator().manual_seed(3)
        for _ in range(4):
            grad = torch.randn(2, 30, generator=generator).to(dtype)
            message = sparsifier.compress(state, grad)
            chosen.append(message.indices.clone())
            sparsifier.feedback(state, rb.aggregate(message, torch.full((2,), 0.5, dtype=dtype)))
    for ours, theirs in zip(chosen[:4], chosen[4:], strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "wrong", [{"mu": 0.0}, {"mu": float("nan")}, {"q": -1.0}, {"denominator": "next"}]
)
def test_impossible_hyper_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(rb.ConfigurationError):
        rb.RegTopK(**({"k": 1, "mu": 1.0} | wrong))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_was_rounded_is_remembered_as_it_was_sent(dtype: torch.dtype) -> None:
    """The factors of the next round come from what the others received."""
    sparsifier = rb.RegTopK(k=3, mu=1.0, values="bfloat16")
    state = sparsifier.init(rb.Placement.alone(1, 8, dtype))
    grad = torch.linspace(1.01, 3.0, 8, dtype=dtype)[None]
    message = sparsifier.compress(state, grad)
    sparsifier.feedback(state, rb.aggregate(message, torch.ones(1, dtype=dtype)))
    assert torch.equal(state.sent_values_Nk, message.values)
    assert torch.equal(state.received_Nk, message.values)
    assert not torch.equal(grad.gather(1, message.indices), message.values)


def test_a_value_beyond_the_largest_is_sent_in_part() -> None:
    largest = torch.finfo(torch.float32).max
    sparsifier = rb.TopK(k=1, values="bfloat16")
    state = sparsifier.init(rb.Placement.alone(1, 2, torch.float32))
    message = sparsifier.compress(state, torch.tensor([[1.0, -largest]]))
    assert message.to_dense().isfinite().all()
    assert torch.equal(message.to_dense() + state.residual_NJ, torch.tensor([[1.0, -largest]]))


def test_rounding_needs_a_residual() -> None:
    with pytest.raises(rb.ConfigurationError, match="values=bfloat16 without error_feedback"):
        rb.RandomK(k=1, values="bfloat16", error_feedback=False)
    with pytest.raises(rb.ConfigurationError, match='values "float8" are neither "bfloat16"'):
        rb.TopK(k=1, values="float8")  # type: ignore[arg-type]
    with pytest.raises(rb.ConfigurationError, match="values have no numbers in"):
        rb.SparseGradient(
            torch.zeros(1, 1, dtype=torch.int64), torch.full((1, 1), 0.1), 3, sent_as=torch.bfloat16
        )
