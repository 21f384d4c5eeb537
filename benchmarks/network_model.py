"""The network model against the clock: `sudo python benchmarks/network_model.py`.

Two and four ranks, each in a network namespace with a link limited to 100 Mbit/s and to 1 Gbit/s
(examples/slow_link/shaped.py), exchange messages through torch.distributed (gloo). The script
prints how long an all-reduce and an all-gather of three sizes take, and what
`regtopk_bench.network` says.

What the model is given is not fitted to these times. The bandwidth is the link's rate times the
share of payload in Ethernet frames (1448 bytes of 1514, which is what the token bucket counts), and
in the acknowledgements of what comes the other way (66 bytes for two frames).
The latency is that of an all-reduce of one number, divided by the 2 (N - 1) steps of gloo's ring.
All ranks begin at the same time; a repeat ends with the last of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples" / "slow_link"))

import torch
import torch.distributed as dist
from shaped import ShapedNetwork, shaped_network, unavailable

from regtopk_bench.network import Link
from regtopk_bench.network.collectives import all_gather, all_reduce
from regtopk_bench.network.quantities import bits_per_second

PAYLOAD = 2 * 1448 / (2 * 1514 + 66)
SIZES = (1_000_000, 2_000_000, 5_000_000)
SMALLEST = 4
SPIN = 5e-4
"""Seconds of waiting that are not slept through: ranks must not begin apart."""
ALL_REDUCE, ALL_GATHER, BOTH_WAYS = "all-reduce", "all-gather", "irecv, isend"
MODELS = {ALL_REDUCE: all_reduce, ALL_GATHER: all_gather, BOTH_WAYS: all_gather}
BURST_SECONDS = 1e-3
"""What a link may send at once, at its rate: less, and a busy machine wakes up too late to send on
time; more, and short messages travel for nothing."""
QUEUE = "700ms"
"""Longer than a TCP connection's window takes to send, so that nothing is dropped."""
HALF_DUPLEX = (2, ALL_GATHER)
"""Gloo's all-gather between two ranks, which takes up to 1.6 times as long: it sends before it
says that it is ready to receive, and that word waits behind what is sent."""
Times = dict[str, dict[str, list[float]]]
Operation = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rates", nargs="+", default=["100mbit", "1gbit"])
    arguments = parser.parse_args()
    print("| ranks | link | latency, µs | | message, MB | predicted, ms | measured, ms | ratio |")
    print("|--:|:--|--:|:--|--:|--:|--:|--:|")
    ratios = []
    for rate in arguments.rates:
        for ranks in arguments.ranks:
            burst = str(round(BURST_SECONDS * bits_per_second(rate) / 8))
            with shaped_network(ranks, rate, burst=burst, latency=QUEUE) as network:
                ratios += compare(ranks, rate, measured(network, arguments.repeats))
    worst = max(abs(ratio - 1.0) for ratio in ratios)
    print(
        f"\npredicted / measured: {min(ratios):.2f} to {max(ratios):.2f}, {100 * worst:.0f} % off"
    )
    if 2 in arguments.ranks:
        print("†: not counted")


def measured(network: ShapedNetwork, repeats: int) -> Times:
    """Return the seconds of every repeat, by operation and size."""
    command = [sys.executable, __file__, "--repeats", str(repeats)]
    quiet = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    found: Times = json.loads(network.run(command, quiet))
    return found


def compare(ranks: int, rate: str, times: Times) -> list[float]:
    """Print a row for every operation and size, and return predicted over measured."""
    ratios: list[float] = []
    smallest = statistics.median(times[ALL_REDUCE][str(SMALLEST)])
    link = Link(PAYLOAD * bits_per_second(rate), smallest / (2 * (ranks - 1)))
    for name in times:
        counts = (ranks, name) != HALF_DUPLEX
        for size in SIZES:
            took = sorted(times[name][str(size)])
            predicted = link.seconds(MODELS[name]("ring", ranks, size))
            middle = statistics.median(took)
            ratio = predicted / middle
            ratios += [ratio] if counts else []
            print(
                f"| {ranks} | {rate} | {1e6 * link.latency:.0f} "
                f"| {name}{'' if counts else ' †'} | {size / 1e6:g} | {1e3 * predicted:.1f} "
                f"| {1e3 * middle:.1f} [{1e3 * took[0]:.1f}, {1e3 * took[-1]:.1f}] | {ratio:.2f} |"
            )
    return ratios


def take_part() -> None:
    """Measure as one of the ranks; the first prints all times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # or others would be measured, too
    dist.init_process_group("gloo")
    times: Times = {}
    for size in (SMALLEST, *SIZES):
        for name, operation in operations(torch.zeros(size // 4)).items():
            operation()
            count = repeats if size > SMALLEST else 20 * repeats
            taken = [together(operation) for _ in range(count)]
            times.setdefault(name, {})[str(size)] = taken
    if dist.get_rank() == 0:
        print(json.dumps(times))
    dist.destroy_process_group()


def operations(message: torch.Tensor) -> dict[str, Operation]:
    """Return what is timed."""
    ranks = dist.get_world_size()
    of_all = [torch.empty_like(message) for _ in range(ranks)]

    def both_ways() -> None:
        other = 1 - dist.get_rank()
        received = dist.irecv(of_all[other], other)
        sent = dist.isend(message, other)
        received.wait()
        sent.wait()

    chosen: dict[str, Operation] = {
        ALL_REDUCE: lambda: dist.all_reduce(message),
        ALL_GATHER: lambda: dist.all_gather(of_all, message),
    }
    return chosen | ({BOTH_WAYS: both_ways} if ranks == 2 else {})


def together(operation: Operation) -> float:
    """Return the seconds from a common start until the last rank has done an operation."""
    start = torch.tensor([time.perf_counter() + 0.02], dtype=torch.float64)
    dist.broadcast(start, 0)  # the clock is that of the machine, the same for all ranks
    dist.barrier()
    time.sleep(max(0.0, float(start) - time.perf_counter() - SPIN))
    while time.perf_counter() < float(start):
        pass
    operation()
    took = torch.tensor([time.perf_counter() - float(start)], dtype=torch.float64)
    dist.all_reduce(took, op=dist.ReduceOp.MAX)
    return float(took)


if __name__ == "__main__":
    if "RANK" in os.environ:
        take_part()
    else:
        if reason := unavailable():
            sys.exit(f"error: {reason}")
        main()
