"""What compression saves on a slow link, by the clock: `python examples/slow_link/compare.py`.

Each hook trains the same network on the same images, between ranks whose links are limited. Printed
is a table in Markdown; `--output` keeps what was measured, for `plot.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shaped import shaped_network, unavailable
from train import HOOKS, images

from regtopk_bench.machine import cpu_info
from regtopk_bench.network import Link, Network, Step
from regtopk_bench.network.quantities import bits_per_second
from regtopk_bench.threads import available_cores

BURST = "32kbit"
"""Less than a compressed gradient: nothing may pass as if the link were not limited."""

Measured = dict[str, Any]


def measure(arguments: argparse.Namespace, hook: str, passed_on: list[str]) -> Measured:
    """Train with a hook on a network of its own, and return what rank 0 measured."""
    command = [sys.executable, str(Path(__file__).with_name("train.py")), "--hook", hook]
    threads = str(max(1, available_cores() // arguments.ranks))
    with shaped_network(arguments.ranks, arguments.rate, burst=BURST) as network:
        written = network.run(
            [*command, *passed_on], {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        )
    measured: Measured = json.loads(written)
    measured["seconds"] = [round(each, 5) for each in measured["seconds"]]
    return measured


def predicted(measured: Measured, ranks: int, rate: str) -> float:
    """Return the seconds of a round in which nothing is exchanged while gradients are computed."""
    network = Network(Link(bits_per_second(rate), measured["latency"]))
    sparse = measured["hook"] in ("topk", "regtopk")
    exchange = (network.all_gather if sparse else network.all_reduce)(ranks, measured["bytes"])
    return Step(measured["computing"], measured["sparsifying"], exchange).seconds


def table(compared: Mapping[str, Any]) -> str:
    """Return the rows of all hooks, in Markdown."""
    rate, ranks, target = compared["rate"], compared["ranks"], compared["until"]
    header = ["hook", "kB/round", "s/round", "quartiles", "rounds", "times dense"]
    header += ["predicted", "off by"] if rate else []
    header += [f"s to {100 * target:g} %"] if target <= 1.0 else []
    rows, dense = [header, [":--", *["--:"] * (len(header) - 1)]], math.nan
    for each in compared["hooks"]:
        low, middle, high = statistics.quantiles(each["seconds"], n=4)
        dense = middle if each["hook"] == "dense" else dense
        row = [each["hook"], f"{each['bytes'] / 1e3:.4g}", f"{middle:.3g}"]
        row += [f"{low:.3g} to {high:.3g}", str(len(each["seconds"])), f"{dense / middle:.2f}"]
        if rate:
            expected = predicted(each, ranks, rate)
            row += [f"{expected:.3g}", f"{100 * (expected / middle - 1):+.0f} %"]
        if target <= 1.0:
            _, seconds, accuracy = each["evaluations"][-1]
            row.append(f"{seconds:.1f}" if accuracy >= target else "not reached")
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", help="of each link, as tc writes it: 20mbit; without, no limit")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--hooks", nargs="+", choices=HOOKS, default=HOOKS)
    parser.add_argument("--model", default="cnn", help="cnn, resnet18, or one of torchvision's")
    parser.add_argument("--until", type=float, default=2.0, help="test accuracy to stop at: 0.5")
    parser.add_argument("--data", type=Path, help="folder or archive; synthetic images without")
    parser.add_argument("--output", type=Path, help="file for what was measured, JSON")
    arguments, passed_on = parser.parse_known_args()  # the rest is for train.py
    if why := unavailable():
        print(f"compare: {why}", file=sys.stderr)
        sys.exit(3)
    passed_on += ["--model", arguments.model, "--until", str(arguments.until)]
    compared: dict[str, Any] = {
        "processor": f"{cpu_info('model name')}, {available_cores()} cores",
        "model": arguments.model,
        "rate": arguments.rate,
        "ranks": arguments.ranks,
        "until": arguments.until,
        "options": list(passed_on),
        "hooks": [],
    }
    if arguments.data:
        images(arguments.data)  # decoded once, for all ranks
        passed_on += ["--data", str(arguments.data.resolve())]
    for hook in arguments.hooks:
        print(f"{hook} ...", file=sys.stderr)
        try:
            compared["hooks"].append(measure(arguments, hook, passed_on))
        except subprocess.CalledProcessError as error:
            print(f"compare: a rank with {hook} ended with {error.returncode}", file=sys.stderr)
            sys.exit(3)
        if arguments.output:
            arguments.output.write_text(json.dumps(compared) + "\n")
    print(table(compared))


if __name__ == "__main__":
    main()
