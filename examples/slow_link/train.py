"""A rank that trains a network with DDP and one of five hooks, by the clock.

`compare.py` starts it in each namespace of a shaped network; `torchrun` can as well. Rank 0 writes
what it measured to stdout, as JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, sparse_hook
from regtopk_bench.experiments.footprint import Scale, step_seconds
from regtopk_bench.settings.paths import CACHE
from regtopk_bench.workloads.images import (
    ImageClassification,
    ImageData,
    build_model,
    load_images,
    partition,
    synthetic_images,
)

HOOKS = ("dense", "fp16", "powersgd", "topk", "regtopk")
LEAST_DENSE = 2
"""Iterations that PowerSGD has to leave to an all-reduce."""

ONE_BUCKET = 1000
"""MB. With several, PowerSGD's hook starts exchanges whenever others have ended, in an order that
may differ between ranks; gloo pairs exchanges by their order, and such ranks abort."""

COMPUTED = 12
"""Rounds without an exchange, to tell what computing takes."""


def sparsifier(hook: str, density: float) -> rb.Sparsifier | None:
    """Return what a hook compresses with, if it is one of this package."""
    if hook == "topk":
        return rb.TopK(density=density)
    return rb.RegTopK(density=density, mu=5.0) if hook == "regtopk" else None


def register(hook: str, model: DistributedDataParallel, density: float) -> Callable[[], float]:
    """Give the model a hook; return what tells the bytes that a rank sends in a round of it.

    None of them begins with dense rounds, but for those that PowerSGD cannot do without.
    """
    size = sum(each.numel() for each in model.parameters())
    if compressed := sparsifier(hook, density):
        sparse = SparseState(compressed, model=model.module)
        model.register_comm_hook(sparse, sparse_hook)
        return lambda: sparse.statistics.bytes_after / sparse.iteration
    if hook == "powersgd":
        low_rank = powerSGD_hook.PowerSGDState(None, start_powerSGD_iter=LEAST_DENSE)
        model.register_comm_hook(low_rank, powerSGD_hook.powerSGD_hook)
        return lambda: 4 * low_rank.total_numel_after_compression / (low_rank.iter - LEAST_DENSE)
    if hook == "fp16":
        model.register_comm_hook(None, default_hooks.fp16_compress_hook)
        return lambda: 2.0 * size
    return lambda: 4.0 * size


def images(path: Path | None) -> ImageData:
    """Return the images of a folder or an archive; synthetic ones if there is none."""
    return load_images(path, Path(CACHE)) if path else synthetic_images()


def latency() -> float:
    """Return the seconds of a message with nothing in it: half an all-reduce of two steps."""
    nothing, spent = torch.zeros(1), []
    for _ in range(20):
        dist.barrier()
        started = time.perf_counter()
        dist.all_reduce(nothing)
        spent.append((time.perf_counter() - started) / 2)
    return statistics.median(spent)


def sparsifying(hook: str, density: float, size: int) -> float:
    """Return what choosing entries takes in a round, having compiled it; 0 for other hooks."""
    if compressed := sparsifier(hook, density):
        return step_seconds(compressed, Scale(size, dist.get_world_size(), torch.float32), "cpu")
    return 0.0


class Training:
    """A network, the images of this rank, and the clock.

    Attributes:
        spent: Seconds of each round so far.
        evaluations: Rounds, seconds and test accuracy, whenever that was looked at.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        torch.manual_seed(0)
        data = images(arguments.data)
        network = build_model(arguments.model, classes=len(data.classes), side=data.side)
        shares = partition(
            data.train.labels_N.numpy(),
            dist.get_world_size(),
            "iid",
            batch=arguments.batch,
            seed=0,
        )
        self.images = ImageClassification(
            data, copy.deepcopy(network), shares, batch=arguments.batch
        )
        bucket_mb = ONE_BUCKET if arguments.hook == "powersgd" else None
        self.model = DistributedDataParallel(network, bucket_cap_mb=bucket_mb)
        self.bytes_in_a_round = register(arguments.hook, self.model, arguments.density)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=arguments.learning_rate)
        self.spent: list[float] = []
        self.evaluations: list[tuple[int, float, float]] = []

    def round(self, number: int) -> float:
        """Take a step, and return how many seconds it took."""
        started = time.perf_counter()
        images, labels = self.images.batch(dist.get_rank(), number)
        self.optimizer.zero_grad()
        cross_entropy(self.model(images), labels).backward()
        self.optimizer.step()
        return time.perf_counter() - started

    def run(self, rounds: int, evaluate_every: int, until: float) -> None:
        """Train for so many rounds, or until the test accuracy; evaluations are not timed."""
        for number in range(1, rounds + 1):
            self.spent.append(self.round(number))
            due = evaluate_every and (number % evaluate_every == 0 or number == rounds)
            if due and self.evaluated() >= until:
                return

    def evaluated(self) -> float:
        """Return the test accuracy, the same in every rank."""
        accuracy = torch.zeros(1)
        if dist.get_rank() == 0:
            parameters_J = nn.utils.parameters_to_vector(self.model.parameters()).detach()
            accuracy += self.images.metrics(parameters_J[None])["accuracy"].item()
            self.evaluations.append((len(self.spent), sum(self.spent), accuracy.item()))
        dist.broadcast(accuracy, src=0)
        return accuracy.item()

    def computing(self) -> float:
        """Return the seconds of a round in which nothing is exchanged, while all ranks compute."""
        dist.barrier()
        with self.model.no_sync():
            return statistics.median([self.round(number) for number in range(COMPUTED)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hook", choices=HOOKS, default="regtopk")
    parser.add_argument("--density", type=float, default=0.01)
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--batch", type=int, default=80, help="images per rank")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--evaluate-every", type=int, default=20, help="rounds; 0: never")
    parser.add_argument("--until", type=float, default=1.0, help="test accuracy to stop at")
    parser.add_argument("--data", type=Path, help="folder or archive; synthetic images without")
    arguments = parser.parse_args()
    dist.init_process_group("gloo")
    training = Training(arguments)
    size = sum(each.numel() for each in training.model.parameters())
    measured = {
        "hook": arguments.hook,
        "parameters": size,
        "latency": latency(),
        "sparsifying": sparsifying(arguments.hook, arguments.density, size),
    }
    dist.barrier()
    training.run(arguments.rounds, arguments.evaluate_every, arguments.until)
    measured |= {
        "seconds": training.spent,
        "evaluations": training.evaluations,
        "bytes": training.bytes_in_a_round(),
        "computing": training.computing(),
    }
    if dist.get_rank() == 0:
        print(json.dumps(measured))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
