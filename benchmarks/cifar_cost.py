"""The cost of a simulated worker with ResNet-18 on one core: time by phase, and memory.

For times, run `python benchmarks/cifar_cost.py`; for memory, where gradients matter little,
`python benchmarks/cifar_cost.py --batch 2 --rounds 2 --workers 4 20 36`.

Each row runs in its own process: RegTop-k at density 0.001 on synthetic 32×32 images,
J = 11,173,962. Memory is the peak proportional set size; its growth per worker, from row to row,
is given in residuals of J float32 values.
"""

from __future__ import annotations

import argparse
import json
import sys

from memory import run_watched


def measure(workers: int, rounds: int, batch: int) -> tuple[dict[str, float], int]:
    """Return seconds per round by phase, and peak memory in bytes."""
    command = [sys.executable, "-m", "regtopk_bench", "cifar", "--dataset", "synthetic"]
    command += ["-m", "resnet18", "-n", str(workers), "-r", str(rounds), "-a", "regtopk"]
    command += ["-b", str(batch)]
    command += ["--device", "cpu", "-p", "1", "-f", "json", "--no-save"]
    out, peak = run_watched(command)
    (run,) = json.loads(out)["runs"]
    phases = ("gradient", "sparsify", "exchange", "update")
    return {phase: run["execution"][f"{phase}_seconds"] / rounds for phase in phases}, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=20)
    arguments = parser.parse_args()
    residual = 11_173_962 * 4
    print("seconds per round:                              sparsify   peak   growth/worker,")
    print("workers  gradient  sparsify  exchange    update         %    MiB   residuals")
    before: tuple[int, int] | None = None
    for workers in arguments.workers:
        spent, peak = measure(workers, arguments.rounds, arguments.batch)
        times = " ".join(f"{seconds:9.4f}" for seconds in spent.values())
        share = 100 * spent["sparsify"] / sum(spent.values())
        growth = ""
        if before:
            growth = f"{(peak - before[1]) / (workers - before[0]) / residual:.2f}"
        print(f"{workers:7d} {times} {share:9.2f} {peak / 2**20:6.0f} {growth:>11}", flush=True)
        before = workers, peak


if __name__ == "__main__":
    main()
