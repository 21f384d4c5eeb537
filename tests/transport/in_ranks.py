"""What test_process_group.py has several ranks do; rank 0 writes down how it ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.experiments.problems import ImageProblem
from regtopk_bench.sparsify import name_of_class
from regtopk_bench.transport import Ranks, Transport, joined
from regtopk_bench.workloads import images
from regtopk_bench.workloads.base import digest

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.sparsify.test_conformance import TABLE
from tests.transport.test_pool import Threshold

ROUNDS = 40


class Breaks(rb.LinearRegression):
    """Something happens to worker 1 of 6, which rank 0 of 3 hosts, or to worker 2 in rank 1."""

    how = ""

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        grad_NJ = super().gradients(parameters_J, workers, round)
        if round == 3 and self.how == "non-finite" and 2 in workers:
            grad_NJ[2 - workers.start, 0] = torch.nan
        if round == 3 and 2 in workers and self.how in ("died", "hangs"):
            os.kill(os.getpid(), signal.SIGKILL if self.how == "died" else signal.SIGSTOP)
        return grad_NJ


class Unsendable(Breaks):
    """Cannot be pickled."""

    def __getstate__(self) -> Any:
        raise TypeError("holds a lock")


def traces(processes: Ranks | int, scope: str) -> dict[str, str]:
    """Train with every algorithm, on a regression and a network; return digests of the traces.

    Layer by layer, only the network is trained.
    """
    regression = rb.LinearRegression.synthetic(workers=7, samples=100, dim=60, seed=2)
    made_up = images.synthetic_images(train=64, test=16, side=8)
    network = ImageProblem(data=made_up, dataset="synthetic", workers=4, batch=1).instance(0)
    found = {}

    def train(name: str, workload: rb.Workload, sparsifier: rb.Sparsifier, rounds: int) -> None:
        trace = rb.simulate(
            workload,
            sparsifier,
            rounds=rounds,
            learning_rate=0.01,
            evaluate_every=25,
            processes=processes,
        )
        arrays = [*trace.metrics.values(), *trace.bytes_sent.by_round.values()]
        found[name] = digest(*arrays, trace.final_parameters)

    for name, row in {name_of_class(type(row.make(1))): row for row in TABLE.values()}.items():
        if scope == "layer":
            train(f"{name}, layer by layer", network.workload, rb.PerLayer(row.make(5)), 50)
        else:
            train(f"{name}, network", network.workload, row.make(1000), 50)
    if scope == "global":
        for name, row in TABLE.items():
            train(f"{name}, regression", regression, row.make(20), 300)
        train("lengths that vary", regression, Threshold(level=3.0), 300)
    return found


def differing(transport: Transport) -> None:
    """Exchange rows that cannot be stacked."""
    dtype = torch.float64 if 0 in transport.workers else torch.float32
    transport.all_gather(torch.zeros(len(transport.workers), 2, dtype=dtype))


def breaks_at_the_end(transport: Transport) -> None:
    """Fail when no other exchange is left."""
    transport.all_gather()
    if 0 not in transport.workers:
        raise ValueError("after the last exchange")


def rows(transport: Transport) -> bool:
    """Exchange rows of different lengths, 0 included, and of several kinds."""
    hosted = torch.tensor(list(transport.workers))
    length = transport.workers.start  # 0 in rank 0
    long = hosted[:, None, None].expand(-1, length, 2).to(torch.bfloat16)
    numbers, padded, nothing = transport.all_gather(hosted, long, torch.empty(len(hosted), 0))
    expected = torch.zeros(7, 4, 2, dtype=torch.bfloat16)
    for worker, columns in zip(range(7), (0, 0, 2, 2, 4, 4, 4), strict=True):
        expected[worker, :columns] = worker
    right = padded.equal(expected) and nothing.shape == (7, 0)
    return right and numbers.tolist() == list(range(7))


def case_of(name: str, ranks: Ranks) -> str:
    """Do what a test is about; return how it ended."""
    if name in ("rows", "differing", "last"):
        job = {"rows": rows, "differing": differing, "last": breaks_at_the_end}[name]
        with ranks.open(7, job, timeout=60.0) as transport:
            right = job(transport)
        return f"rows of {ranks.count} ranks: {'as they should be' if right else 'wrong'}"
    kind = Unsendable if name == "unsendable" else Breaks
    workload = kind.synthetic(workers=2 if name == "too many" else 6, samples=30, dim=10)
    workload.how = name

    def on_round(info: rb.RoundInfo) -> bool:
        if info.round == 25 and name == "interrupted":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1.0)
        return info.round == 25 and name == "stopped"

    trace = rb.simulate(
        workload,
        rb.TopK(k=2),
        rounds=ROUNDS,
        learning_rate=0.01,
        processes=ranks,
        on_round=on_round,
        timeout=2.0 if name == "hangs" else 60.0,
    )
    return f"{trace.rounds} rounds"


def told(name: str, ranks: Ranks) -> str:
    """Return how a case ended, errors included."""
    try:
        return case_of(name, ranks)
    except (Exception, KeyboardInterrupt) as error:
        trace = getattr(error, "trace", None)
        after = f" after {trace.rounds} rounds" if trace else ""
        return f"{type(error).__name__}{after}: {error}"


def main(path: Path, names: list[str]) -> None:
    """Do what a test is about, in all ranks."""
    with joined() as ranks:
        assert ranks is not None
        if names[0] == "traces":
            found = [traces(ranks, scope) for scope in names[1:]]
            path.write_text(json.dumps(found))
            return
        for name in names:  # each begins where the one before has ended, however that was
            with path.open("a") as file:
                file.write(f"{name}: {told(name, ranks)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
