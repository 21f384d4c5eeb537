"""What test_process_group.py has several ranks do; rank 0 writes down how it ended."""

from __future__ import annotations

import functools
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
from regtopk_bench.transport import Ranks, Transport, joined

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.transport.test_pool import Threshold, same

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


def traces(ranks: Ranks) -> str:
    """Compare traces with those of one process."""
    outcomes = {}
    for sparsifier in (
        rb.Dense(),
        rb.TopK(density=0.3),
        rb.RegTopK(density=0.6, mu=4.0),
        rb.RandomK(density=0.3),
        rb.Oracle(density=0.3),
        rb.PerLayer(rb.TopK(density=0.3)),
        Threshold(level=3.0),
    ):
        workload = rb.LinearRegression.synthetic(workers=7, samples=30, dim=21, seed=2)
        run = functools.partial(
            rb.simulate, workload, sparsifier, rounds=ROUNDS, learning_rate=0.01
        )
        several = run(processes=ranks)
        assert several.processes == ranks.count
        outcomes[type(sparsifier).__name__] = same(run(processes=1), several)
    return json.dumps(outcomes)


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
        after = f" after {trace.rounds} rounds" if trace and name != "died" else ""
        return f"{type(error).__name__}{after}: {error}"


def main(name: str, path: Path) -> None:
    """Do what a test is about, in all ranks, and something else after it."""
    with joined() as ranks:
        assert ranks is not None
        if name == "traces":
            path.write_text(traces(ranks))
            return
        said = told(name, ranks)
        path.write_text(said)
        if name not in ("died", "hangs"):
            workload = rb.LinearRegression.synthetic(workers=4, samples=30, dim=10)
            trace = rb.simulate(
                workload, rb.TopK(k=2), rounds=5, learning_rate=0.01, processes=ranks
            )
            path.write_text(f"{said}; then {trace.rounds} rounds")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
