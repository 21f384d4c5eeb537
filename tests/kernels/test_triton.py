"""The Triton step against the reference: on a GPU, or else in Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from regtopk_bench import NonFiniteGradientError
from regtopk_bench.kernels import Guess, reference
from regtopk_bench.kernels.guess import misses
from tests.kernels.rounds import check_against_reference
from tests.kernels.test_stream import SPECIAL
from tests.strategies import DTYPES, Batch, batches

pytest.importorskip("triton")
triton_gpu: Any = pytest.importorskip("regtopk_bench.kernels.triton_gpu")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TILE = triton_gpu.TILE_BYTES // 4
cuda_only = pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")


def check_rounds(grads: Tensor, k: int, corrected: bool, guesses: list[Guess]) -> None:
    check_against_reference(triton_gpu.step, grads.to(DEVICE), k, corrected, guesses)


@settings(max_examples=12)
@given(
    batches(rounds=3, max_dim=300),
    st.booleans(),
    st.sampled_from([0, 8, 4096]),
    st.lists(st.sampled_from([1e-3, 1.0, 1e3]), min_size=3, max_size=3),
)
def test_any_guess_gives_the_reference_bits(
    batch: Batch, corrected: bool, spare: int, scales: list[float]
) -> None:
    """Guesses too high, too low and stale; buffers that overflow; scales that jump."""
    before = triton_gpu._SPARE_ROOM
    triton_gpu._SPARE_ROOM = spare
    try:
        grads = batch.grads * torch.tensor(scales, dtype=batch.grads.dtype)[:, None, None]
        check_rounds(grads, batch.k, corrected, [Guess() for _ in range(batch.workers)])
    finally:
        triton_gpu._SPARE_ROOM = before


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 60, 2 * TILE])
def test_rows_of_many_tiles(dtype: torch.dtype, k: int) -> None:
    grads = torch.randn(4, 2, 3 * TILE + 3, dtype=torch.float64).to(dtype)
    grads[2] *= 0.01  # as after a change of the learning rate
    guesses = [Guess(), Guess()]
    check_rounds(grads, k, True, guesses)
    if 4 * k < TILE:
        assert misses(guesses) > 0


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("dim", [1, TILE + 1])
def test_special_rows(name: str, dim: int) -> None:
    rows = torch.stack([SPECIAL[name](dim).clamp(-3e37, 3e37) for _ in range(3)])[:, None]
    for k in sorted({1, dim // 2 or 1, dim}):
        check_rounds(rows, k, True, [Guess()])


@pytest.mark.parametrize("excess", [-1, 0, 1, 2])
def test_shortlists_at_their_limit(excess: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many entries as there is room for, one fewer, one more, and twice as many."""
    monkeypatch.setattr(triton_gpu, "_SPARE_ROOM", 16)
    dim, k = 2 * TILE, 20
    room = 4 * k + 16
    count = 2 * room if excess == 2 else room + excess
    grads = torch.zeros(3, 1, dim)
    for grad in grads:
        grad[0, torch.randperm(dim)[:count]] = 1.0 + torch.rand(count)
    guess = Guess()
    guess.batch = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64, device=DEVICE)
    check_rounds(grads[:1], k, False, [guess])
    assert misses([guess]) == (excess > 0)
    check_rounds(grads, k, False, [guess])


def test_factors_above_one_are_exact() -> None:
    grad = torch.randn(1, TILE, dtype=torch.float64, device=DEVICE)
    last = torch.arange(0, TILE, 97, device=DEVICE)[None]
    factors = torch.full(last.shape, 50.0, dtype=torch.float64, device=DEVICE)
    guess = Guess()
    guess.batch = torch.tensor([[3.0, 0.0, 0.0]], dtype=torch.float64, device=DEVICE)
    residual, expected = torch.zeros_like(grad), torch.zeros_like(grad)
    got = triton_gpu.step(residual, grad, 30, last, factors, [guess])
    wanted = reference.step(expected, grad, 30, last, factors)
    assert torch.equal(got[0], wanted[0])
    assert torch.equal(residual, expected)


@pytest.mark.filterwarnings("ignore:invalid value encountered")  # the interpreter's NumPy
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", DTYPES)
def test_non_finite_rows(bad: float, dtype: torch.dtype) -> None:
    grad = torch.randn(3, 500, dtype=dtype, device=DEVICE)
    grad[1, 17] = grad[1, 499] = bad
    last = torch.arange(20, device=DEVICE).expand(3, 20).contiguous()
    factors = torch.zeros(3, 20, dtype=dtype, device=DEVICE)
    with pytest.raises(NonFiniteGradientError) as caught:
        triton_gpu.step(torch.zeros_like(grad), grad, 20, last, factors)
    assert (caught.value.worker, caught.value.entries) == (1, 2)


@settings(max_examples=10)
@given(batches(rounds=1, max_dim=100))
def test_select_alone_changes_nothing(batch: Batch) -> None:
    score = batch.grads[0].abs().to(DEVICE)
    before = score.clone()
    assert torch.equal(triton_gpu.select(score, batch.k), reference.select(score, batch.k))
    assert torch.equal(score, before)


COMPILE = """
import json, subprocess, sys, tempfile, torch, triton, inspect
from pathlib import Path
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from regtopk_bench.kernels import triton_gpu
from regtopk_bench.kernels.triton_gpu import programs

POINTERS = {"residual": "F", "grad": "F", "values": "F", "factors": "F", "values_k": "F",
            "scores": "I", "memory": "fp64"}
SCALARS = {"dim", "room", "count", "steps", "known", "shift", "k", "tiles"}
dump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
usage = {}
for real, whole in (("fp32", "i32"), ("fp64", "i64")):
    for name in ("prepare", "stream", "score", "verify", "digits", "pick", "count_selected",
                 "scan", "emit"):
        program = getattr(programs, name)
        signature, constants = {}, {}
        for parameter in inspect.signature(program.fn).parameters:
            if parameter.isupper():
                signature[parameter] = "constexpr"
                constants[parameter] = {"BLOCK": 1024, "KEEP": False}.get(parameter, True)
            elif parameter in SCALARS:
                signature[parameter] = "i64"
            else:
                kind = POINTERS.get(parameter, "i64")
                signature[parameter] = "*" + {"F": real, "I": whole}.get(kind, kind)
        tiled = name in ("stream", "count_selected", "scan", "emit")
        if tiled:
            constants["BLOCK"] = triton_gpu.TILE_BYTES // (4 if real == "fp32" else 8)
        options = dict(triton_gpu._SHARED) | ({"num_warps": triton_gpu._WARPS} if tiled else {})
        source = ASTSource(program, signature, constants)
        done = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(done.asm["cubin"])
            file.flush()
            text = subprocess.run([dump, "--dump-resource-usage", file.name],
                                  capture_output=True, text=True, check=True).stdout
        words = dict(w.split(":")[:2] for w in text.split() if w.count(":") == 1)
        usage[name + " " + real] = {key: int(words[key]) for key in ("REG", "STACK", "LOCAL")}
print(json.dumps(usage))
"""


def test_programs_compile_for_hopper_without_spills() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name, used in json.loads(done.stdout).items():
        assert (used["STACK"], used["LOCAL"]) == (0, 0), f"{name}: {used}"


@cuda_only
def test_a_captured_step_replays_without_the_host() -> None:
    dim, k = 100_003, 500
    residual, grad = torch.zeros(1, dim, device="cuda"), torch.randn(1, dim, device="cuda")
    guesses = [Guess()]
    triton_gpu.step(residual.clone(), grad, k, guesses=guesses)  # compiles, and remembers
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        indices, values = triton_gpu.step(residual, grad, k, guesses=guesses)
    expected = torch.zeros_like(residual)
    for _ in range(5):
        grad.copy_(torch.randn_like(grad))
        graph.replay()
        wanted = reference.step(expected, grad, k)
        assert torch.equal(indices, wanted[0])
        assert torch.equal(values, wanted[1])
        assert torch.equal(residual, expected)
