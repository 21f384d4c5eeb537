"""The compression step on large rows against its limit and against torch.topk.

Run `python benchmarks/kernel_step.py`. One worker, Gaussian gradients, a residual that is the
same before every step, last round's k entries corrected by factors in [0, 1]. The limit is
`torch.Tensor.add_` over the same arrays: it reads the gradient, reads and writes the residual.
Limit, step and the same step built on `torch.topk` run in turn; printed are medians and the
median of the paired ratios, with quartiles. The selection is compared with a stable sort first.

OpenMP's threads are told not to spin while they wait (OMP_WAIT_POLICY=PASSIVE), as they would
hold a core for milliseconds after each PyTorch call, whatever runs next.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor

from regtopk_bench import kernels
from regtopk_bench.kernels import Guess, reference


def topk_step(
    residual_NJ: Tensor, grad_NJ: Tensor, k: int, last_Nk: Tensor, factors_Nk: Tensor
) -> tuple[Tensor, Tensor]:
    """Step as most implementations do, with torch.topk; ties are left to it."""
    residual_NJ.add_(grad_NJ)
    score_NJ = residual_NJ.abs()
    score_NJ.scatter_(1, last_Nk, score_NJ.gather(1, last_Nk) * factors_Nk)
    indices_Nk = score_NJ.topk(k, dim=1, sorted=False).indices.sort(dim=1).values
    values_Nk = residual_NJ.gather(1, indices_Nk)
    residual_NJ.scatter_(1, indices_Nk, 0.0)
    return indices_Nk, values_Nk


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def measure(dim: int, density: float, dtype: torch.dtype, repeats: int, rival: bool) -> str:
    k = max(1, int(dim * density))
    generator = torch.Generator().manual_seed(0)
    start, grad = (torch.randn(1, dim, generator=generator, dtype=dtype) for _ in range(2))
    residual, other = start.clone(), torch.zeros_like(start)
    last, _ = reference.step(start.clone(), torch.zeros_like(start), k)
    factors = torch.rand(last.shape, generator=generator, dtype=dtype)
    guesses = [Guess()]

    def step() -> tuple[Tensor, Tensor]:
        return kernels.step(residual, grad, k, last, factors, guesses)

    expected, _ = reference.step(start.clone(), grad, k, last, factors)
    exact = True
    for _ in range(3):  # cold, then with a guess
        residual.copy_(start)
        exact = exact and torch.equal(step()[0], expected)
    limits, ours, theirs = [], [], []
    for repeat in range(repeats):
        residual.copy_(start)
        limits.append(seconds(lambda: other.add_(grad)))
        ours.append(seconds(step))
        if rival and repeat < 5:
            residual.copy_(start)
            theirs.append(seconds(lambda: topk_step(residual, grad, k, last, factors)))
    ratios = np.array(ours) / np.array(limits)
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    line = (
        f"{str(dtype)[6:]:8s} {dim:9d} {density:7g} {1e3 * np.median(limits):9.2f} "
        f"{1e3 * np.median(ours):9.2f} {middle:6.2f} [{low:.2f}, {high:.2f}] "
        f"{'yes' if exact else 'NO':>5s} {guesses[0].misses:6d}"
    )
    if theirs:
        gain = np.median(np.array(theirs) / np.array(ours[: len(theirs)]))
        line += f" {1e3 * np.median(theirs):9.0f} {gain:7.1f}"
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, nargs="+", default=[1e6, 1.117e7, 2.56e7])
    parser.add_argument("--density", type=float, nargs="+", default=[0.001, 0.01, 0.1, 0.6])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--no-rival", action="store_true", help="leave torch.topk out")
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        "dtype            J density  limit ms   step ms  ratio [quartiles] exact misses   "
        "topk ms    gain"
    )
    for size in given.size:
        for density in given.density:
            dtype = getattr(torch, given.dtype)
            print(measure(int(size), density, dtype, given.repeats, not given.no_rival), flush=True)


if __name__ == "__main__":
    main()
