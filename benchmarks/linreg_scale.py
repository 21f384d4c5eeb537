"""How time per round and memory grow with the number of workers.

Run `python benchmarks/linreg_scale.py`.

Each row runs in its own process, as a user would run it: J = 10,000 and D = 50, Top-k and
RegTop-k at density 0.01. Time is training time per round; memory is the peak proportional set size
over all processes of the run, which counts shared pages once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from memory import run_watched


def measure(workers: int, rounds: int, processes: str) -> str:
    command = [sys.executable, "-m", "regtopk_bench", "linreg", "--workers", str(workers)]
    command += ["--dim", "10000", "--samples", "50", "--rounds", str(rounds), "-d", "0.01"]
    command += ["-a", "topk", "-a", "regtopk", "-p", processes, "-f", "json", "--no-save"]
    started = time.monotonic()
    out, peak = run_watched(command)
    runs = json.loads(out)["runs"]
    cells = []
    for run in runs:
        spent = sum(v for name, v in run["execution"].items() if name.endswith("_seconds"))
        cells.append(f"{1e3 * spent / rounds:9.0f}")
    used = runs[0]["execution"]["processes"]
    wall = time.monotonic() - started
    return f"{workers:7d} {used:9d} {cells[0]} {cells[1]} {peak / 2**30:9.2f} {wall:8.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[125, 250, 500, 1000])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--processes", default="auto")
    arguments = parser.parse_args()
    print("workers processes topk ms  regtopk ms peak GiB   wall s")
    for workers in arguments.workers:
        print(measure(workers, arguments.rounds, arguments.processes), flush=True)


if __name__ == "__main__":
    main()
