"""The operations on the CPU, compiled with Numba: in cache for small rows, streaming for large.

Both give the bits of `reference`. Only float32 and float64 are compiled.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from regtopk_bench.kernels.guess import Guess
from regtopk_bench.kernels.numba_cpu import in_cache, stream
from regtopk_bench.kernels.numba_cpu.in_cache import gather, ratio, scatter_sum, weighted_sum
from regtopk_bench.kernels.numba_cpu.scratch import release

__all__ = [
    "STREAM_DIM",
    "gather",
    "ratio",
    "release",
    "scatter_sum",
    "select",
    "step",
    "weighted_sum",
]

STREAM_DIM = 2**16
"""Rows of at least this length are streamed."""


def step(
    residual_NJ: Tensor,
    grad_NJ: Tensor,
    k: int,
    corrected_Nk: Tensor | None = None,
    factors_Nk: Tensor | None = None,
    guesses: Sequence[Guess] | None = None,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """See `regtopk_bench.kernels.step`."""
    if residual_NJ.shape[1] >= STREAM_DIM:
        return stream.step(residual_NJ, grad_NJ, k, corrected_Nk, factors_Nk, guesses, out)
    return in_cache.step(residual_NJ, grad_NJ, k, corrected_Nk, factors_Nk, out)


def select(score_NJ: Tensor, k: int) -> Tensor:
    """See `regtopk_bench.kernels.select`."""
    if score_NJ.shape[1] >= STREAM_DIM:
        return stream.select(score_NJ, k)
    return in_cache.select(score_NJ, k)
