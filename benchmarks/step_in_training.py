"""The step inside training against the kernels table: `python benchmarks/step_in_training.py`.

One worker trains with RegTop-k. After each round, the candidate behind the row "step, warm" of
`regtopk-bench kernels` runs a step in the same process, with one thread like training. Both are
timed at the same place, inside the Numba step; the script prints medians with quartiles, and the
paired ratio. The workload's gradients are chosen so that both steps select from the same
accumulated gradients, because the time depends on how many entries are near the threshold.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.kernels import numba_cpu
from regtopk_bench.sparsify.density import Budget
from regtopk_bench.timing import Candidate, KernelData, candidates, problem


class WorkloadOfTable(rb.Workload):
    """One worker, whose accumulated gradients are those of a problem in the kernels table."""

    workers = 1
    dtype = torch.float32
    weights_N = torch.ones(1)

    def __init__(self, data: KernelData) -> None:
        self.dim, self._data = data.dim, data
        self._residual_1J = torch.zeros_like(data.start_1J)

    def initial_parameters(self, seed: int) -> Tensor:
        """Return zeros; nothing depends on them."""
        return torch.zeros(self.dim)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return the gradient that turns the residual into this round's accumulated gradient."""
        return self._accumulated(round) - self._residual_1J

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """Return a loss that is always 0."""
        return {"loss": np.zeros(len(parameters_TJ))}

    def note_sent(self, round: int, indices_1k: Tensor) -> None:
        """Record which entries a round sent, from which the residual follows."""
        self._residual_1J = self._accumulated(round).scatter_(1, indices_1k, 0.0)

    def _accumulated(self, round: int) -> Tensor:
        grads = self._data.grads
        return self._data.start_1J + grads[round % len(grads)]


class StepClock:
    """Stands in for the Numba step and records how long the last call took."""

    def __init__(self) -> None:
        self._step = numba_cpu.step
        self.seconds = 0.0

    def __call__(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        """Run a step."""
        started = time.perf_counter()
        message = self._step(*arguments)
        self.seconds = time.perf_counter() - started
        return message


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=11_170_000)
    parser.add_argument("--density", type=float, default=0.01)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--warm-up", type=int, default=10, help="rounds that are not counted")
    arguments = parser.parse_args()

    k = Budget(density=arguments.density).entries(arguments.dim)
    data = problem("normal", arguments.dim, k, torch.float32, "cpu")
    workload, warm = WorkloadOfTable(data), warm_step(data)
    numba_cpu.step = clock = StepClock()
    in_training, in_table = [], []

    def on_round(info: rb.RoundInfo) -> None:
        in_training.append(clock.seconds)
        workload.note_sent(info.round - 1, info.messages.indices)
        warm.prepare(info.round)
        warm.run()
        in_table.append(clock.seconds)

    rounds = arguments.warm_up + arguments.rounds
    trace = rb.simulate(
        workload,
        rb.RegTopK(density=arguments.density, mu=4.0),
        rounds=rounds,
        learning_rate=0.01,
        processes=1,
        evaluate_every=rounds,
        on_round=on_round,
    )
    training = 1e3 * np.array(in_training[arguments.warm_up :])
    table = 1e3 * np.array(in_table[arguments.warm_up :])
    print(f"J={arguments.dim:,}, density {arguments.density:g}, float32, 1 worker, 1 thread")
    print(f"step inside training, ms  {with_quartiles(training)}")
    print(f"kernels table, warm, ms   {with_quartiles(table)}")
    print(f"ratio, paired             {with_quartiles(training / table)}")
    print(f"phase sparsify, ms        {1e3 * trace.seconds['sparsify'] / rounds:.3f} per round")


def warm_step(data: KernelData) -> Candidate:
    """Return the candidate behind the row "step, warm" of the kernels table."""
    (warm,) = (each for each in candidates(data, ["numba"]) if each.case == "warm")
    return warm


def with_quartiles(values: NDArray[np.float64]) -> str:
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
