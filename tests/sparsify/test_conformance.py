"""Every sparsifier against every invariant. A new algorithm adds a row to `TABLE`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.algorithms import ALGORITHMS
from regtopk_bench.messages import Encoding, join, pack, unpack
from regtopk_bench.sparsify import PerLayer, name_of_class
from tests.strategies import DTYPES, Batch, batches


@dataclass(frozen=True)
class Conformance:
    """How to make a sparsifier with k entries, and which invariants its definition breaks."""

    make: Callable[[int], rb.Sparsifier]
    conserves: bool = True
    permutes: bool = True
    sparse: bool = True
    coordinates: bool = False  # then the tests of the pool compare shards
    rounds: bool = False  # what is sent is rounded to bfloat16


TABLE = {
    "dense": Conformance(lambda k: rb.Dense(), sparse=False),
    "topk": Conformance(lambda k: rb.TopK(k=k)),
    "regtopk": Conformance(lambda k: rb.RegTopK(k=k, mu=2.0)),
    "regtopk-current": Conformance(lambda k: rb.RegTopK(k=k, mu=2.0, denominator="current")),
    "regtopk-small-q": Conformance(lambda k: rb.RegTopK(k=k, mu=2.0, q=1.0)),
    # A draw is not a function of the values, so it cannot follow their permutation.
    "randomk": Conformance(lambda k: rb.RandomK(k=k), permutes=False),
    "randomk-unbiased": Conformance(
        lambda k: rb.RandomK(k=k, error_feedback=False), conserves=False, permutes=False
    ),
    "oracle": Conformance(lambda k: rb.Oracle(k=k), coordinates=True),
    "topk-bfloat16": Conformance(lambda k: rb.TopK(k=k, values="bfloat16"), rounds=True),
    "regtopk-bfloat16": Conformance(
        lambda k: rb.RegTopK(k=k, mu=2.0, values="bfloat16"), rounds=True
    ),
    "randomk-bfloat16": Conformance(
        lambda k: rb.RandomK(k=k, values="bfloat16"), permutes=False, rounds=True
    ),
    "oracle-bfloat16": Conformance(
        lambda k: rb.Oracle(k=k, values="bfloat16"), coordinates=True, rounds=True
    ),
}


def rows(wanted: Callable[[Conformance], bool] = lambda row: True) -> pytest.MarkDecorator:
    """Run a test for the rows of the table that the invariant is meant for."""
    chosen = {name: row for name, row in TABLE.items() if wanted(row)}
    return pytest.mark.parametrize("row", chosen.values(), ids=chosen.keys())


every = rows()


def messages(sparsifier: rb.Sparsifier, batch: Batch) -> list[rb.Message]:
    """Run rounds with real feedback and return what was sent, which outlives its round."""
    state = sparsifier.init(rb.Placement.alone(batch.workers, batch.dim, batch.grads.dtype))
    weights = torch.full((batch.workers,), 1.0 / batch.workers, dtype=batch.grads.dtype)
    sent = []
    for grad in batch.grads:
        message = sparsifier.compress(state, grad)
        sent.append(message.gathered([rows.clone() for rows in message.rows()]))
        sparsifier.feedback(state, rb.aggregate(message, weights))
    return sent


def assert_same(first: rb.Message, second: rb.Message) -> None:
    for ours, theirs in zip(first.rows(), second.rows(), strict=True):
        assert torch.equal(ours, theirs)


def residual(state: Any, grad: Tensor) -> Tensor:
    """Return what a state keeps back: nothing, where it has no residual."""
    kept: Tensor = getattr(state, "residual_NJ", torch.zeros_like(grad))
    return kept


def test_every_algorithm_has_a_row() -> None:
    assert {name_of_class(type(row.make(1))) for row in TABLE.values()} == set(ALGORITHMS)


@rows(lambda row: row.conserves)
@given(batch=batches())
def test_conservation(row: Conformance, batch: Batch) -> None:
    """Residual before + gradient = residual after + what was sent, exactly."""
    sparsifier = row.make(batch.k)
    state = sparsifier.init(rb.Placement.alone(batch.workers, batch.dim, batch.grads.dtype))
    weights = torch.full((batch.workers,), 1.0 / batch.workers, dtype=batch.grads.dtype)
    for grad in batch.grads:
        before, untouched = residual(state, grad).clone(), grad.clone()
        message = sparsifier.compress(state, grad)
        assert torch.equal(residual(state, grad) + message.to_dense(), before + grad)
        assert torch.equal(grad, untouched)
        sparsifier.feedback(state, rb.aggregate(message, weights))


@rows(lambda row: row.sparse)
@given(batch=batches())
def test_messages_have_k_distinct_ascending_indices(row: Conformance, batch: Batch) -> None:
    for message in messages(row.make(batch.k), batch):
        assert isinstance(message, rb.SparseGradient)
        assert message.indices.dtype == torch.int64
        assert message.values.dtype == batch.grads.dtype
        assert message.indices.shape == message.values.shape
        assert message.indices.shape[1] == batch.k
        assert message.counts.tolist() == [batch.k] * batch.workers
        assert bool((message.indices.diff(dim=1) > 0).all())
        assert bool(((message.indices >= 0) & (message.indices < batch.dim)).all())


@rows(lambda row: row.rounds)
@given(batch=batches())
def test_what_is_rounded_is_the_nearest_and_takes_two_bytes(row: Conformance, batch: Batch) -> None:
    sparsifier = row.make(batch.k)
    state = sparsifier.init(rb.Placement.alone(batch.workers, batch.dim, batch.grads.dtype))
    accumulated = batch.grads[0]
    message = sparsifier.compress(state, accumulated)
    assert isinstance(message, rb.SparseGradient)
    exact = accumulated.gather(1, message.indices)
    assert torch.equal(message.values, exact.to(torch.bfloat16).to(exact))
    size = min(batch.k * (4 + 2), batch.dim * 2)
    assert list(message.bytes_N(Encoding.COORDINATES)) == [size] * batch.workers
    for encoding in Encoding:
        back = unpack(message, pack(message, encoding), encoding)
        assert torch.equal(back.to_dense(), message.to_dense())


@rows(lambda row: row.permutes)
@given(batch=batches(), seed=st.integers(0, 1000))
def test_permutation_equivariance(row: Conformance, batch: Batch, seed: int) -> None:
    """Renaming the parameters renames the selection, where no two scores are equal."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch.grads.shape, generator=generator, dtype=torch.float64)
    grads = batch.grads.double() + noise  # almost surely without ties
    order = torch.randperm(batch.dim, generator=generator)
    plain = messages(row.make(batch.k), Batch(grads, batch.k))
    renamed = messages(row.make(batch.k), Batch(grads[:, :, order], batch.k))
    for ours, theirs in zip(plain, renamed, strict=True):
        assert torch.equal(theirs.to_dense(), ours.to_dense()[:, order])


@every
@given(batch=batches(), power=st.integers(-20, 20))
def test_scaling_by_a_power_of_two(row: Conformance, batch: Batch, power: int) -> None:
    """Values scale exactly and the selection does not change."""
    narrowest = torch.bfloat16 if row.rounds else batch.grads.dtype
    smallest = torch.finfo(narrowest).tiny * 2.0**60
    normal = torch.where(batch.grads.abs() < smallest, 0.0, batch.grads)
    plain = messages(row.make(batch.k), Batch(normal, batch.k))
    scaled = messages(row.make(batch.k), Batch(normal * 2.0**power, batch.k))
    for ours, theirs in zip(plain, scaled, strict=True):
        assert torch.equal(ours.to_dense() * 2.0**power, theirs.to_dense())
        assert ours.bytes_N(Encoding.COORDINATES) == theirs.bytes_N(Encoding.COORDINATES)


@rows(lambda row: not row.rounds)
@given(batch=batches())
def test_full_density_is_dense(row: Conformance, batch: Batch) -> None:
    weights = torch.full((batch.workers,), 1.0 / batch.workers, dtype=batch.grads.dtype)
    for message, grad in zip(messages(row.make(batch.dim), batch), batch.grads, strict=True):
        state = rb.Dense().init(rb.Placement.alone(batch.workers, batch.dim, batch.grads.dtype))
        dense = rb.Dense().compress(state, grad)
        assert torch.equal(rb.aggregate(message, weights), rb.aggregate(dense, weights))


@every
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_gradients_are_errors(row: Conformance, dtype: torch.dtype, bad: float) -> None:
    sparsifier = row.make(2)
    state = sparsifier.init(rb.Placement.alone(3, 5, dtype))
    grad = torch.randn(3, 5, dtype=dtype)
    grad[1, 4] = bad
    with pytest.raises(rb.NonFiniteGradientError, match=r"worker 1 \(1 entry\)"):
        sparsifier.compress(state, grad)


@every
def test_the_same_seed_gives_the_same_messages(row: Conformance) -> None:
    grads = torch.randn(5, 3, 20, dtype=torch.float64)
    first, second = (messages(row.make(4), Batch(grads, 4)) for _ in range(2))
    for ours, theirs in zip(first, second, strict=True):
        assert_same(ours, theirs)


@rows(lambda row: not row.coordinates)
def test_shards_choose_what_the_whole_chooses(row: Conformance) -> None:
    """A worker's message does not depend on which workers share its process."""
    grads = torch.randn(4, 6, 15, dtype=torch.float64)
    sparsifier = row.make(5)
    weights = torch.full((6,), 1 / 6, dtype=torch.float64)
    everyone = rb.Placement.alone(6, 15, weights=weights)
    whole = sparsifier.init(everyone)
    parts = [
        sparsifier.init(
            dataclasses.replace(
                everyone, workers=workers, weights_N=weights[workers.start : workers.stop]
            )
        )
        for workers in (range(2), range(2, 6))
    ]
    for grad in grads:
        message = sparsifier.compress(whole, grad)
        pieces = [
            sparsifier.compress(part, grad[rows])
            for part, rows in zip(parts, (slice(0, 2), slice(2, 6)), strict=True)
        ]
        assert_same(message, join(pieces))
        aggregate = rb.aggregate(message, weights)
        for state in (whole, *parts):
            sparsifier.feedback(state, aggregate)


@rows(lambda row: row.sparse)
def test_gradients_of_another_shape_are_refused(row: Conformance) -> None:
    sparsifier = row.make(2)
    state = sparsifier.init(rb.Placement.alone(3, 5, torch.float64))
    with pytest.raises(rb.ConfigurationError, match=r"\(3, 5\)"):
        sparsifier.compress(state, torch.zeros(5, dtype=torch.float64))
    with pytest.raises(rb.ConfigurationError, match="float32"):
        sparsifier.compress(state, torch.zeros(3, 5, dtype=torch.float32))


@every
@pytest.mark.parametrize("per_layer", [False, True])
def test_a_state_can_be_saved_and_resumed(row: Conformance, per_layer: bool) -> None:
    """A state made of another's rows goes on as if nothing had happened."""
    grads = torch.randn(7, 5, 24, dtype=torch.float64)
    sparsifier = PerLayer(row.make(3)) if per_layer else row.make(3)
    weights = torch.full((5,), 1 / 5, dtype=torch.float64)
    placement = rb.Placement.alone(5, 24, weights=weights, shapes=((2, 5), (14,)))
    state = sparsifier.init(placement)
    for grad in grads:
        rows = {name: rows.clone() for name, rows in sparsifier.state_dict(state).items()}
        assert all(len(value) == 5 for value in rows.values())
        resumed = sparsifier.init(placement)
        sparsifier.load_state_dict(resumed, rows)
        message, again = (sparsifier.compress(each, grad) for each in (state, resumed))
        assert_same(message, again)
        aggregate = rb.aggregate(message, weights)
        for each in (state, resumed):
            sparsifier.feedback(each, aggregate)
        for name, value in sparsifier.state_dict(state).items():
            assert torch.equal(value, sparsifier.state_dict(resumed)[name])


@every
@pytest.mark.parametrize("empty", [(0,), (3, 0)])
def test_nothing_is_sent_for_an_empty_layer(row: Conformance, empty: tuple[int, ...]) -> None:
    """And the other layers send what they send without it."""
    grads = torch.randn(4, 3, 12, dtype=torch.float64)
    sparsifier, kept, weights = PerLayer(row.make(2)), [], torch.full((3,), 1 / 3).double()
    for shapes in (((5,), (7,), empty), ((5,), (7,))):
        state = sparsifier.init(rb.Placement.alone(3, 12, weights=weights, shapes=shapes))
        sent = []
        for grad in grads:
            message = sparsifier.compress(state, grad)
            sent.append((message.to_dense().clone(), list(message.bytes_N(Encoding.COORDINATES))))
            sparsifier.feedback(state, rb.aggregate(message, weights))
        kept.append(sent)
    for (with_empty, size), (without, same_size) in zip(*kept, strict=True):
        assert torch.equal(with_empty, without)
        assert size == same_size


@rows(lambda row: row.make(1).summable)
@pytest.mark.parametrize("per_layer", [False, True])
def test_what_is_summable_is_about_the_same_entries(row: Conformance, per_layer: bool) -> None:
    """In every process: all but the values are equal, whatever the gradients."""
    sparsifier = PerLayer(row.make(3)) if per_layer else row.make(3)
    assert sparsifier.summable
    state = sparsifier.init(rb.Placement.alone(4, 24, shapes=((2, 5), (14,))))
    for grad in torch.randn(5, 4, 24, dtype=torch.float64):
        message = sparsifier.compress(state, grad)
        for tensor in message.rows():
            if not tensor.is_floating_point():
                assert torch.equal(tensor, tensor[:1].expand_as(tensor))
        assert message.value_bytes() <= min(message.bytes_N(Encoding.COORDINATES))
        sparsifier.feedback(state, rb.aggregate(message, state.placement.weights_N))


@rows(lambda row: not row.make(1).summable)
def test_what_is_not_summable_may_be_about_different_entries(row: Conformance) -> None:
    sparsifier = row.make(3)
    message = sparsifier.compress(
        sparsifier.init(rb.Placement.alone(4, 24)), torch.randn(4, 24, dtype=torch.float64)
    )
    assert isinstance(message, rb.SparseGradient)
    assert not torch.equal(message.indices, message.indices[:1].expand_as(message.indices))
