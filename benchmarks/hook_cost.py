"""What communication hooks cost: ResNet-18 on small images, two ranks of DDP, one thread each.

For each hook: seconds of an iteration, with messages travelling between the ranks of this machine;
and the time of its own step, without any exchange: the hook on the gradients of a rank that is
alone in its group, from the call until the aggregate is known. Hooks take turns, iteration by
iteration; figures are medians, ratios are to the same turn without a hook.

`python benchmarks/hook_cost.py`, with nothing else running. The gradient is one bucket:
PowerSGD's hook starts its second exchange from a thread of gloo, and with several buckets the
ranks may start them in different orders.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed as dist
from torch import multiprocessing, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, sparse_hook
from regtopk_bench.workloads.images import build_model

RANKS = 2
WARM_UP = 4
ONE_BUCKET_MB = 1000

Register = Callable[[DistributedDataParallel, Any], None]


def _fp16(model: DistributedDataParallel, group: Any) -> None:
    model.register_comm_hook(group, fp16_compress_hook)


def _powersgd(model: DistributedDataParallel, group: Any) -> None:
    state = PowerSGDState(group, matrix_approximation_rank=1, start_powerSGD_iter=2)
    model.register_comm_hook(state, powerSGD_hook)


def _sparse(sparsifier: rb.Sparsifier, **settings: Any) -> Register:
    def register(model: DistributedDataParallel, group: Any) -> None:
        model.register_comm_hook(SparseState(sparsifier, group, **settings), sparse_hook)

    return register


HOOKS: dict[str, Register] = {
    "none": lambda model, group: None,
    "fp16": _fp16,
    "PowerSGD, rank 1": _powersgd,
    "Top-k 0.01": _sparse(rb.TopK(density=0.01)),
    "RegTop-k 0.01": _sparse(rb.RegTopK(density=0.01)),
    "RegTop-k 0.01, compact": _sparse(rb.RegTopK(density=0.01), encoding="compact"),
}


class Timed:
    """A model under DDP whose hook is timed until the aggregate of a bucket is known."""

    def __init__(self, network: nn.Module, register: Register, group: Any) -> None:
        self.seconds = 0.0
        self.model = DistributedDataParallel(
            copy.deepcopy(network), process_group=group, bucket_cap_mb=ONE_BUCKET_MB
        )
        self._register(register, group)

    def _register(self, register: Register, group: Any) -> None:
        plain = self.model.register_comm_hook

        def timed(state: Any, hook: Any) -> None:
            def watched(state, bucket):  # type: ignore[no-untyped-def] # DDP reads annotations
                start = time.perf_counter()
                future = hook(state, bucket)
                future.wait()
                self.seconds += time.perf_counter() - start
                return future

            plain(state, watched)

        self.model.register_comm_hook = timed  # type: ignore[method-assign]
        register(self.model, group)


def _iterate(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    model.zero_grad()
    nn.functional.cross_entropy(model(images), labels).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.01 * parameter.grad


def _rank(rank: int, store: str, rounds: int, batch: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=RANKS)
    alone = [dist.new_group([each]) for each in range(RANKS)][rank]
    torch.manual_seed(rank)
    network = build_model("resnet18", classes=10, side=32)
    network = network.to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,))

    models = {}
    for name, register in HOOKS.items():
        models[name] = DistributedDataParallel(copy.deepcopy(network), bucket_cap_mb=ONE_BUCKET_MB)
        register(models[name], dist.group.WORLD)
    together: dict[str, list[float]] = {name: [] for name in HOOKS}
    for _ in range(WARM_UP + rounds):
        for name, model in models.items():
            dist.barrier()
            start = time.perf_counter()
            _iterate(model, images, labels)
            dist.barrier()
            together[name].append(time.perf_counter() - start)
    del models

    steps: dict[str, list[float]] = {name: [] for name in HOOKS}
    timed = {name: Timed(network, register, alone) for name, register in HOOKS.items()}
    for _ in range(WARM_UP + rounds):
        for name, each in timed.items():
            each.seconds = 0.0
            _iterate(each.model, images, labels)
            steps[name].append(each.seconds)
            dist.barrier()
    if rank == 0:
        _print(together, steps, batch, rounds)
    dist.destroy_process_group()


def _print(
    together: dict[str, list[float]], steps: dict[str, list[float]], batch: int, rounds: int
) -> None:
    plain = together["none"][WARM_UP:]
    whole = statistics.median(plain)
    print(f"ResNet-18, {batch} images of 32 x 32 per rank, {RANKS} ranks, {rounds} iterations each")
    print(f"{'hook':24} {'s/iteration':>11} {'to none':>8} {'own step, ms':>13} {'of none, %':>11}")
    for name in HOOKS:
        seconds = together[name][WARM_UP:]
        ratio = statistics.median(a / b for a, b in zip(seconds, plain, strict=True))
        step = statistics.median(steps[name][WARM_UP:])
        print(
            f"{name:24} {statistics.median(seconds):11.3f} {ratio:8.3f} {1000 * step:13.1f} "
            f"{100 * step / whole:11.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        call = (f"{folder}/store", arguments.rounds, arguments.batch)
        multiprocessing.start_processes(_rank, call, nprocs=RANKS, start_method="spawn")


if __name__ == "__main__":
    main()
