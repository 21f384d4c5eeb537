"""The one-pass step on what breaks such kernels, against the reference, bit for bit."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench import NonFiniteGradientError, Placement, RegTopK, kernels
from regtopk_bench.kernels import Guess, numba_cpu, reference
from regtopk_bench.kernels.numba_cpu import row as rows
from regtopk_bench.kernels.numba_cpu import stream
from tests.kernels.rounds import check_against_reference
from tests.strategies import DTYPES, Batch, batches


@pytest.fixture(params=[1, 3], ids=["1 thread", "3 threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads(), rows._WORTH_A_THREAD
    torch.set_num_threads(request.param)
    rows._WORTH_A_THREAD = 1  # so that small rows are shared too
    yield request.param
    torch.set_num_threads(before[0])
    rows._WORTH_A_THREAD = before[1]


check_rounds = functools.partial(check_against_reference, stream.step)


@given(
    batches(rounds=6, max_dim=700),
    st.booleans(),
    st.integers(0, 64),
    st.sampled_from([None, 0.0, 1e-30, 0.5, 2.0, 1e30]),
    st.lists(st.sampled_from([1e-3, 1.0, 1e3]), min_size=6, max_size=6),
)
def test_any_guess_gives_the_reference_bits(
    batch: Batch, corrected: bool, spare: int, guess: float | None, scales: list[float]
) -> None:
    """Guesses too high, too low, zero and stale; buffers that overflow; scales that jump."""
    before = rows._SPARE_ROOM
    rows._SPARE_ROOM = spare
    try:
        grads = batch.grads * torch.tensor(scales, dtype=batch.grads.dtype)[:, None, None]
        guesses = [Guess(last=guess) for _ in range(batch.workers)]
        check_rounds(grads, batch.k, corrected, guesses)
    finally:
        rows._SPARE_ROOM = before


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 63, 1000, 60_000, 99_999, 100_003])
@pytest.mark.parametrize("corrected", [False, True])
def test_large_rows(dtype: torch.dtype, k: int, corrected: bool, threads: int) -> None:
    grads = torch.randn(5, 2, 100_003, dtype=torch.float64).to(dtype)
    grads[3] *= 0.01  # as after a change of the learning rate
    check_rounds(grads, k, corrected, [Guess(), Guess()])


SPECIAL = {
    "zeros": lambda n: torch.zeros(n),
    "negative zeros": lambda n: -torch.zeros(n),
    "all equal": lambda n: torch.full((n,), -3.0),
    "heavy ties": lambda n: torch.randn(n).round(),
    "subnormal": lambda n: torch.randn(n).round() * 1e-42,
    "one spike": lambda n: torch.zeros(n).index_fill(0, torch.tensor([n // 2]), 5.0),
    "spikes at the ends": lambda n: torch.zeros(n).index_fill(0, torch.tensor([0, n - 1]), -1.0),
    "heavy-tailed by layer": lambda n: torch.randn(n) * torch.logspace(-6, 2, n),
    "huge": lambda n: torch.randn(n) * 1e38,
}


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("dim", [1, 2, 63, 64, 65, 4097, 70_001])
def test_special_rows(name: str, dim: int, threads: int) -> None:
    rows = torch.stack([SPECIAL[name](dim).clamp(-3e37, 3e37) for _ in range(4)])[:, None]
    for k in sorted({1, min(7, dim), dim // 2 or 1, dim}):
        check_rounds(rows, k, True, [Guess()])


@pytest.mark.parametrize("excess", [-1, 0, 1, 2])
def test_shortlists_at_their_limit(excess: int, threads: int) -> None:
    """As many entries as the limit allows, one fewer, one more, and twice as many."""
    dim, k = 20_000, 100
    limit = 4 * k + rows._SPARE_ROOM
    count = 2 * limit if excess == 2 else limit + excess
    grads = torch.zeros(3, 1, dim)
    for grad in grads:
        grad[0, torch.randperm(dim)[:count]] = 1.0 + torch.rand(count)
    check_rounds(grads, k, False, [Guess(last=1.0)])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("guess", [None, 0.5, 1e30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_non_finite_rows(bad: float, guess: float | None, dtype: torch.dtype, threads: int) -> None:
    grad = torch.randn(3, 5000, dtype=dtype)
    grad[1, 17] = grad[1, 4999] = bad
    last = torch.arange(20).expand(3, 20).contiguous()
    factors = torch.zeros(3, 20, dtype=dtype)
    with pytest.raises(NonFiniteGradientError) as caught:
        stream.step(
            torch.zeros_like(grad), grad, 20, last, factors, [Guess(last=guess) for _ in range(3)]
        )
    assert (caught.value.worker, caught.value.entries) == (1, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 100, 4000])
def test_infinity_is_found_where_its_factor_is_zero(
    dtype: torch.dtype, k: int, threads: int
) -> None:
    grad = torch.randn(1, 5000, dtype=dtype)
    grad[0, 17] = -float("inf")
    last, factors = torch.arange(17, 17 + k)[None], torch.zeros(1, k, dtype=dtype)
    with pytest.raises(NonFiniteGradientError) as caught:
        stream.step(torch.zeros_like(grad), grad, k, last, factors, [Guess(last=0.5)])
    assert caught.value.entries == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 100, 40_000])
def test_rows_of_nothing_but_nan(dtype: torch.dtype, k: int, threads: int) -> None:
    grad = torch.full((1, 70_001), float("nan"), dtype=dtype)
    with pytest.raises(NonFiniteGradientError) as caught:
        stream.step(torch.zeros_like(grad), grad, k, None, None, [Guess()])
    assert caught.value.entries == 70_001


def test_a_steady_stream_does_not_miss() -> None:
    """The guess is worth having: stationary gradients are selected in one pass."""
    generator = torch.Generator().manual_seed(0)
    residual, guess = torch.zeros(1, 200_000), Guess()
    for _ in range(60):
        grad = torch.randn(1, 200_000, generator=generator)
        stream.step(residual, grad, 2000, None, None, [guess])
    early = guess.misses
    for _ in range(100):
        grad = torch.randn(1, 200_000, generator=generator)
        stream.step(residual, grad, 2000, None, None, [guess])
    assert guess.misses - early <= 10


def test_large_rows_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    plain = stream._step_row

    def spy(row: rows.Row, *arguments: Any) -> bool:
        seen.append(len(row.residual))
        return plain(row, *arguments)

    monkeypatch.setattr(stream, "_step_row", spy)
    sparsifier = RegTopK(density=0.01, mu=1.0)
    for dim in (numba_cpu.STREAM_DIM - 1, numba_cpu.STREAM_DIM):
        state = sparsifier.init(Placement.alone(2, dim, torch.float32))
        for _ in range(3):
            message = sparsifier.compress(state, torch.randn(2, dim))
            sparsifier.feedback(state, torch.zeros(dim).index_fill(0, message.indices[0], 1.0))
    assert seen == [numba_cpu.STREAM_DIM] * 6


def test_factors_above_one_are_still_exact() -> None:
    dim = numba_cpu.STREAM_DIM
    grad = torch.randn(1, dim, dtype=torch.float64)
    last = torch.arange(0, dim, 97)[None]
    factors = torch.full(last.shape, 50.0, dtype=torch.float64)
    residual, expected = torch.zeros_like(grad), torch.zeros_like(grad)
    got = kernels.step(residual, grad, 300, last, factors, [Guess(last=1.0)])
    wanted = reference.step(expected, grad, 300, last, factors)
    assert torch.equal(got[0], wanted[0])
    assert np.array_equal(residual.numpy(), expected.numpy())


@pytest.mark.parametrize("density", [0.01, 0.3])
def test_outputs_may_be_given(density: float) -> None:
    grad = torch.randn(2, numba_cpu.STREAM_DIM)
    k = int(density * grad.shape[1])
    out = torch.empty(2, k, dtype=torch.int64), torch.empty(2, k)
    got = kernels.step(torch.zeros_like(grad), grad, k, out=out)
    expected = reference.step(torch.zeros_like(grad), grad, k)
    assert got[0] is out[0]
    assert got[1] is out[1]
    assert torch.equal(out[0], expected[0])
    assert torch.equal(out[1], expected[1])


@given(batches(rounds=1, max_dim=700), st.integers(0, 64))
def test_select_alone(batch: Batch, spare: int) -> None:
    score = batch.grads[0].abs()
    assert torch.equal(stream.select(score, batch.k), reference.select(score, batch.k))


MEMORY = """
import resource, torch
from regtopk_bench.kernels import Guess, step

def steps(residual, grad, k):
    guess = Guess()
    step(residual, grad, k, guesses=[guess])  # sampled
    guess.last *= 2.0
    step(residual, grad, k, guesses=[guess])  # missed
    step(residual, grad, k, guesses=[guess])  # warm

steps(torch.randn(1, 2**21), torch.randn(1, 2**21), 2**11)
dim, k = 2**24, 2**14
residual, grad = torch.randn(1, dim), torch.randn(1, dim)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
steps(residual, grad, k)
grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(grown, dim // 8 + 16 * 4 * k + 2**21)  # and room for the allocator
"""


def test_a_step_needs_little_memory() -> None:
    """At most an eighth of a byte for each entry, and 16 bytes for each shortlisted one."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    grown, allowed = map(int, done.stdout.split())
    assert grown <= allowed
