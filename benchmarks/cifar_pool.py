"""Images per second: a pool against one process with one thread, which gives the same bits.

Run `python benchmarks/cifar_pool.py`.

The default network, 8 workers, batch 20, Top-k at density 0.001 on synthetic images. The process
counts take turns, several times; each run is a separate program.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys


def measure(processes: int, rounds: int) -> tuple[float, str]:
    """Return training images per second, and the outcome that must not depend on processes."""
    command = [sys.executable, "-m", "regtopk_bench", "cifar", "--dataset", "synthetic"]
    command += ["-r", str(rounds), "-a", "topk", "-p", str(processes), "-f", "json", "--no-save"]
    done = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, check=True)
    (run,) = json.loads(done.stdout)["runs"]
    images = 8 * 20 * run["execution"]["rounds_per_second"]
    return images, json.dumps([run["metrics"], run["traces"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    speeds: dict[int, list[float]] = {count: [] for count in arguments.processes}
    outcomes = set()
    for _ in range(arguments.repeats):
        for count in arguments.processes:
            speed, outcome = measure(count, arguments.rounds)
            speeds[count].append(speed)
            outcomes.add(outcome)
    for count, measured in speeds.items():
        first = speeds[arguments.processes[0]]
        ratios = [own / base for own, base in zip(measured, first, strict=True)]
        print(
            f"{count} processes: {statistics.median(measured):.0f} images/s "
            f"({min(measured):.0f} to {max(measured):.0f}), "
            f"{statistics.median(ratios):.2f} times the first"
        )
    print("the same bits" if len(outcomes) == 1 else "DIFFERENT RESULTS")


if __name__ == "__main__":
    main()
