"""The compiled step against the reference, which is itself checked against a plain sort."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench import NonFiniteGradientError
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
    implementation: object, bad: float, dtype: torch.dtype, k: int
) -> None:
    grad = torch.ones(4, 6, dtype=dtype)
    grad[2, 1] = grad[2, 4] = grad[3, 0] = bad
    # A selected entry whose factor is 0 must not hide that it is infinite.
    last = torch.arange(k).expand(4, k).contiguous()
    factors = torch.zeros(4, k, dtype=dtype)
    with pytest.raises(NonFiniteGradientError) as caught:
        implementation.step(torch.zeros(4, 6, dtype=dtype), grad, k, last, factors)  # type: ignore[attr-defined]
    assert (caught.value.worker, caught.value.entries) == (2, 2)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_tie_in_one_row_and_nan_in_another_do_not_cancel(implementation: object) -> None:
    grad = torch.tensor([[1.0, 1.0, 0.5], [float("nan"), 1.0, 0.5]])
    with pytest.raises(NonFiniteGradientError) as caught:
        implementation.step(torch.zeros(2, 3), grad, 1)  # type: ignore[attr-defined]
    assert (caught.value.worker, caught.value.entries) == (1, 1)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_are_left_alone_and_may_be_views(implementation: object) -> None:
    whole = torch.randn(7, 4, dtype=torch.float64)
    grad = whole.T[:, ::2]
    before = grad.clone()
    indices, values = implementation.step(torch.zeros(4, 4, dtype=torch.float64), grad, 2)  # type: ignore[attr-defined]
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


@given(batches(rounds=1))
def test_gather_ratio_is_the_same_everywhere_and_infinite_at_zero(batch: Batch) -> None:
    indices, values = reference.step(torch.zeros_like(batch.grads[0]), batch.grads[0], batch.k)
    weights = torch.full((batch.workers,), 0.25, dtype=values.dtype)
    total = torch.randn(batch.dim, dtype=values.dtype)
    expected = reference.gather_ratio(total, indices, values, weights, 3.0)
    got = numba_cpu.gather_ratio(total, indices, values, weights, 3.0)
    assert torch.equal(bits(got), bits(expected))
    assert bool((expected[0.25 * values == 0.0] == float("inf")).all())


WITHOUT_NUMBA = """
import sys, warnings
sys.modules["numba"] = None
import torch
from regtopk_bench import TopK, kernels
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    state = TopK(density=0.5).init(2, 8, torch.float32)
    for _ in range(3):
        message = TopK(density=0.5).compress(state, torch.ones(2, 8))
        kernels.scatter_sum(message.indices, message.values, state.weights_N, 8)
print(*(warning.message for warning in caught), message.indices.tolist(), sep="|")
"""


def test_without_numba_the_reference_serves_with_one_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True, check=True
    )
    warning, indices = done.stdout.strip().split("|")
    assert "numba kernels cannot be loaded" in warning
    assert "exact but slower" in warning
    assert indices == "[[0, 1, 2, 3], [0, 1, 2, 3]]"
