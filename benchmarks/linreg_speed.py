"""Training time of the paper's linear regression: `python benchmarks/linreg_speed.py`.

Dense, Top-k and RegTop-k at density 0.6, 2,500 rounds each, N = 20, D = 500, J = 100, float64,
in one process. The three take turns, several times; the script prints the median training time
(gradient, sparsify, exchange, update) and the median time of the whole call.
"""

from __future__ import annotations

import argparse
import statistics
import time

import regtopk_bench as rb

SPARSIFIERS = {
    "dense": rb.Dense(),
    "topk": rb.TopK(density=0.6),
    "regtopk": rb.RegTopK(density=0.6, mu=4.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    workload = rb.LinearRegression.synthetic()
    training: dict[str, list[float]] = {name: [] for name in SPARSIFIERS}
    whole: dict[str, list[float]] = {name: [] for name in SPARSIFIERS}
    for repeat in range(repeats + 1):
        for name, sparsifier in SPARSIFIERS.items():
            started = time.perf_counter()
            trace = rb.simulate(workload, sparsifier, rounds=2500, learning_rate=0.01, processes=1)
            if repeat:  # the first compiles
                whole[name].append(time.perf_counter() - started)
                training[name].append(sum(trace.seconds.values()))
    for name in SPARSIFIERS:
        print(
            f"{name:8s} training {statistics.median(training[name]):.3f} s, "
            f"whole call {statistics.median(whole[name]):.3f} s"
        )
    for label, times in (("training", training), ("whole call", whole)):
        together = [sum(run) for run in zip(*times.values(), strict=True)]
        low, high = min(together), max(together)
        print(
            f"together {label}: median {statistics.median(together):.3f} s [{low:.3f}, {high:.3f}]"
        )


if __name__ == "__main__":
    main()
