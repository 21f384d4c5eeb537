"""The compact encoding: `python benchmarks/wire.py [--threads 2]`.

One worker's message of RegTop-k, float32, is packed and unpacked in turn with the compression step
that makes it, the row "step, warm" of `regtopk-bench kernels`. The selections are spread evenly
("normal"), over layers of different scale ("heavy"), and those of a perceptron in training
("replay"). Printed are bits per index and per entry, log2 C(J, k)/k beside them; nanoseconds per
entry for packing and unpacking; and what both take, relative to the step: medians, quartiles of the
paired ratio. What arrives is checked.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

import regtopk_bench as rb
from regtopk_bench.messages import Encoding, pack, unpack
from regtopk_bench.sparsify.density import Budget
from regtopk_bench.timing import Step, candidates, problem

ENCODING = Encoding.COMPACT
BITS_OF_A_VALUE = 32

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=11_173_962)
    parser.add_argument("--density", type=float, nargs="+", default=[0.001, 0.01, 0.1])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.ones(2**22)  # the allocator keeps what is freed from now on, as it does in training
    print(f"J={arguments.dim:,}, float32, {arguments.threads} threads, {ENCODING}")
    for distribution in ("normal", "heavy", "replay"):
        for density in arguments.density:
            report(distribution, arguments.dim, density, arguments.repeats)


def report(distribution: str, dim: int, density: float, repeats: int) -> None:
    k = Budget(density=density).entries(dim)
    data = problem(distribution, dim, k, torch.float32, "cpu")
    (step,) = (each for each in candidates(data, ["numba"]) if each.case == "warm")
    assert isinstance(step, Step)
    times = np.zeros((repeats, 3))
    for repeat in range(-3, repeats):  # the first compile, and warm up
        step.prepare(repeat)
        spent, selected_k = timed(step.run)
        assert step.sent_k is not None
        message = rb.SparseGradient(selected_k[None], step.sent_k[None], dim, trusted=True)
        spent_packing, packed = timed(lambda message=message: pack(message, ENCODING))
        spent_unpacking, back = timed(
            lambda message=message, packed=packed: unpack(message, packed, ENCODING)
        )
        assert torch.equal(back.indices, message.indices)
        assert torch.equal(back.values, message.values)
        if repeat >= 0:
            times[repeat] = spent, spent_packing, spent_unpacking
    bits = 8 * len(packed[0]) / k
    shares = with_quartiles(100.0 * times[:, 1:].sum(axis=1) / times[:, 0])
    step_ms = 1e3 * np.median(times[:, 0])
    packing_ns, unpacking_ns = 1e9 * np.median(times[:, 1:], axis=0) / k
    print(
        f"{distribution:7s} {density:<6g} {bits - BITS_OF_A_VALUE:6.3f} bits an index, "
        f"log2 C(J,k)/k {bound(dim, k):6.3f}, {bits:6.3f} an entry; "
        f"pack {packing_ns:.2f} ns, unpack {unpacking_ns:.2f} ns an entry; "
        f"step {step_ms:.2f} ms, both {shares} % of it"
    )


def timed(function: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def bound(dim: int, k: int) -> float:
    """Return log2 C(J, k)/k, the bits of an index where all selections are equally likely."""
    ways = math.lgamma(dim + 1) - math.lgamma(k + 1) - math.lgamma(dim - k + 1)
    return ways / math.log(2) / k


def with_quartiles(values: NDArray[np.float64]) -> str:
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
