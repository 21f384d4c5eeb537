"""The compiled step against the reference, which is itself checked against a plain sort."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.errors import ConfigurationError, NonFiniteGradientError
from regtopk_bench.kernels import numba_cpu, reference
from tests.kernels.rounds import bits, check_against_reference
from tests.strategies import DTYPES, Batch, batches

IMPLEMENTATIONS = [reference, numba_cpu]


def sorted_step(residual: list[float], grad: list[float], k: int) -> list[int]:
    """The definition in plain Python: largest first, ties to the lower index."""
    accumulated = [a + b for a, b in zip(residual, grad, strict=True)]
    order = sorted(range(len(grad)), key=lambda j: (-abs(accumulated[j]), j))
    return sorted(order[:k])


@given(batches(rounds=1))
def test_reference_is_what_a_sort_selects(batch: Batch) -> None:
    grad = batch.grads[0].double()
    residual = torch.zeros_like(grad)
    indices, values = reference.step(residual, grad, batch.k)
    for n in range(batch.workers):
        expected = sorted_step([0.0] * batch.dim, grad[n].tolist(), batch.k)
        assert indices[n].tolist() == expected
        assert values[n].tolist() == grad[n][expected].tolist()


@given(batches(rounds=6), st.booleans())
def test_compiled_step_gives_the_reference_bits_over_many_rounds(
    batch: Batch, corrected: bool
) -> None:
    check_against_reference(numba_cpu.step, batch.grads, batch.k, corrected, None)


@given(batches(rounds=1), st.floats(1.0, 1e6))
def test_factors_above_one_can_lift_a_score_over_all_others(batch: Batch, factor: float) -> None:
    grad = batch.grads[0]
    last = torch.arange(0, batch.dim, 2).expand(batch.workers, -1).contiguous()
    factors = torch.full(last.shape, factor, dtype=grad.dtype)
    ours, theirs = torch.zeros_like(grad), torch.zeros_like(grad)
    got = numba_cpu.step(ours, grad, batch.k, last, factors)
    expected = reference.step(theirs, grad, batch.k, last, factors)
    assert torch.equal(got[0], expected[0])
    assert torch.equal(bits(ours), bits(theirs))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 3, 6])
def test_non_finite_entries_name_worker_and_count(
    implementation: Any, bad: float, dtype: torch.dtype, k: int
) -> None:
    grad = torch.ones(4, 6, dtype=dtype)
    grad[2, 1] = grad[2, 4] = grad[3, 0] = bad
    # A selected entry whose factor is 0 must not hide that it is infinite.
    last = torch.arange(k).expand(4, k).contiguous()
    factors = torch.zeros(4, k, dtype=dtype)
    with pytest.raises(NonFiniteGradientError) as caught:
        implementation.step(torch.zeros(4, 6, dtype=dtype), grad, k, last, factors)
    assert (caught.value.worker, caught.value.entries) == (2, 2)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_tie_in_one_row_and_nan_in_another_do_not_cancel(implementation: Any) -> None:
    grad = torch.tensor([[1.0, 1.0, 0.5], [float("nan"), 1.0, 0.5]])
    with pytest.raises(NonFiniteGradientError) as caught:
        implementation.step(torch.zeros(2, 3), grad, 1)
    assert (caught.value.worker, caught.value.entries) == (1, 1)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_are_left_alone_and_may_be_views(implementation: Any) -> None:
    whole = torch.randn(7, 4, dtype=torch.float64)
    grad = whole.T[:, ::2]
    before = grad.clone()
    indices, values = implementation.step(torch.zeros(4, 4, dtype=torch.float64), grad, 2)
    assert torch.equal(grad, before)
    assert torch.equal(values, grad.gather(1, indices))


@given(batches(rounds=1))
def test_select_takes_the_largest_and_the_lower_of_equals(batch: Batch) -> None:
    score = batch.grads[0].abs()
    assert torch.equal(numba_cpu.select(score, batch.k), reference.select(score, batch.k))


@given(batches(rounds=2))
def test_scatter_sum_adds_in_worker_order(batch: Batch) -> None:
    indices, values = reference.step(torch.zeros_like(batch.grads[0]), batch.grads[0], batch.k)
    weights = torch.rand(batch.workers, dtype=values.dtype)
    expected = torch.zeros(batch.dim, dtype=values.dtype)
    for n in range(batch.workers):
        for index, value in zip(indices[n], values[n], strict=True):
            expected[index] += weights[n] * value
    for implementation in IMPLEMENTATIONS:
        got = implementation.scatter_sum(indices, values, weights, batch.dim)
        assert torch.equal(bits(got), bits(expected))


@given(batches(rounds=1))
def test_weighted_sum_is_the_scatter_of_full_messages(batch: Batch) -> None:
    grad = batch.grads[0]
    weights = torch.rand(batch.workers, dtype=grad.dtype)
    indices = torch.arange(batch.dim).expand_as(grad)
    expected = reference.scatter_sum(indices, grad, weights, batch.dim)
    for implementation in IMPLEMENTATIONS:
        assert torch.equal(bits(implementation.weighted_sum(grad, weights)), bits(expected))


@given(batches(rounds=1), st.floats(1e-3, 1e3))
def test_ratio_of_what_was_gathered_is_that_of_the_total_to_each_share(
    batch: Batch, scale: float
) -> None:
    indices, sent = reference.step(torch.zeros_like(batch.grads[0]), batch.grads[0], batch.k)
    weights = torch.rand(batch.workers, dtype=sent.dtype)
    total = torch.randn(batch.dim, dtype=sent.dtype).round(decimals=1)
    share = weights[:, None] * sent
    expected = (total[indices] / share).abs() / scale
    expected[share == 0.0] = float("inf")
    for implementation in IMPLEMENTATIONS:
        received = implementation.gather(total, indices)
        assert torch.equal(bits(received), bits(total[indices]))
        got = implementation.ratio(received, sent, weights, scale)
        assert torch.equal(bits(got), bits(expected))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(batches(rounds=4))
def test_given_outputs_are_filled_and_returned(implementation: Any, batch: Batch) -> None:
    """Two sets of them, taken in turn, as training does."""
    ours, theirs = torch.zeros_like(batch.grads[0]), torch.zeros_like(batch.grads[0])
    shape = (batch.workers, batch.k)
    indices, values = torch.full((2, *shape), -1), torch.ones(2, *shape, dtype=ours.dtype)
    last = factors = None
    for round, grad in enumerate(batch.grads):
        out = indices[round % 2], values[round % 2]
        got = implementation.step(ours, grad, batch.k, last, factors, out=out)
        expected = reference.step(theirs, grad, batch.k, last, factors)
        assert got[0] is out[0]
        assert got[1] is out[1]
        assert torch.equal(out[0], expected[0])
        assert torch.equal(bits(out[1]), bits(expected[1]))
        last, factors = out[0], torch.rand(shape, dtype=ours.dtype)


def test_outputs_that_a_step_cannot_write_to_are_refused() -> None:
    def indices(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.zeros(shape, dtype=dtype)

    def values(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.ones(shape, dtype=dtype)

    corrected, factors = torch.arange(3).repeat(2, 1), values(2, 3)
    unusable = [
        (indices(2, 4), values(2, 3)),
        (indices(2, 3), values(1, 3)),
        (indices(2, 3, dtype=torch.int32), values(2, 3)),
        (indices(2, 3), values(2, 3, dtype=torch.float64)),
        (indices(3, 2).T, values(2, 3)),
        (indices(2, 3), values(3, 2).T),
        (corrected, values(2, 3)),
        (indices(2, 3), factors.view(-1).view(2, 3)),
    ]
    residual, grad = torch.zeros(2, 9), torch.ones(2, 9)
    for out in unusable:
        with pytest.raises(ConfigurationError, match="out"):
            kernels.step(residual, grad, 3, corrected, factors, out=out)
    assert not residual.any()
    kernels.step(residual, grad, 3, corrected, factors, out=(indices(2, 3), values(2, 3)))


WITHOUT_NUMBA = """
import sys, warnings
sys.modules["numba"] = None
import torch
from regtopk_bench import Placement, TopK, kernels
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    placement = Placement.alone(2, 8, torch.float32)
    state = TopK(density=0.5).init(placement)
    for _ in range(3):
        message = TopK(density=0.5).compress(state, torch.ones(2, 8))
        kernels.scatter_sum(message.indices, message.values, placement.weights_N, 8)
print(*(warning.message for warning in caught), message.indices.tolist(), sep="|")
"""


def test_without_numba_the_reference_serves_with_one_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True, check=True
    )
    warning, indices = done.stdout.strip().split("|")
    assert "the numba implementation needs Numba: pip install 'regtopk-bench[fast]'" in warning
    assert "exact but slower" in warning
    assert indices == "[[0, 1, 2, 3], [0, 1, 2, 3]]"
