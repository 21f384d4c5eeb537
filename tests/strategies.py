"""Hypothesis strategies for batches of gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Batch:
    """Gradients of some rounds, (rounds, N, J), and the k to select."""

    grads: Tensor
    k: int

    @property
    def workers(self) -> int:
        return self.grads.shape[1]

    @property
    def dim(self) -> int:
        return self.grads.shape[2]


@st.composite
def batches(draw: st.DrawFn, rounds: int = 4, max_dim: int = 40) -> Batch:
    """Draw gradients: Gaussian, with heavy ties, sparse, subnormal or constant."""
    workers, dim = draw(st.integers(1, 5)), draw(st.integers(1, max_dim))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    grads = torch.randn(rounds, workers, dim, generator=generator, dtype=torch.float64)
    kind = draw(st.sampled_from(["normal", "ties", "sparse", "subnormal", "constant", "zeros"]))
    if kind == "ties":
        grads = grads.round()
    elif kind == "sparse":
        grads = grads * (grads > 1.0)
    elif kind == "subnormal":
        grads = grads.round() * 1e-310
    elif kind == "constant":
        grads = torch.ones_like(grads) * draw(st.sampled_from([1.0, -0.5]))
    elif kind == "zeros":
        grads = torch.zeros_like(grads) * draw(st.sampled_from([1.0, -1.0]))
    dtype = draw(st.sampled_from(DTYPES))
    if kind == "subnormal" and dtype == torch.float32:
        grads = grads * 1e268
    return Batch(grads.to(dtype), draw(st.integers(1, dim)))
