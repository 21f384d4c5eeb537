"""What a training run would take on a network: its own computation, and messages that travel.

Computation is measured in the run, in the first of its P processes. That one hosts ⌊N/P⌋ workers
and computes for one after the other, so that a worker's gradient and sparsifier take their share of
that time; the update is one for all. In place of the exchange between the processes stands what the
network takes for the bytes that the run counted.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.algorithms import algorithm
from regtopk_bench.network import Network
from regtopk_bench.results.schema import Run, TrainingCell

_PER_WORKER = ("gradient_seconds", "sparsify_seconds")


def seconds_by_round(run: Run, network: Network) -> NDArray[np.float64]:
    """Return what each round would take, (rounds,); NaN where the run's times are not known."""
    return _computing(run) + _communicating(run, network)


def _computing(run: Run) -> float:
    """Return the seconds of a worker's computation in a round, a mean over the rounds."""
    spent = {
        name: run.execution.get(name, math.nan)
        for name in (*_PER_WORKER, "update_seconds", "processes")
    }
    hosted = run.metrics["workers"] // spent["processes"]
    of_one = sum(spent[name] for name in _PER_WORKER) / hosted + spent["update_seconds"]
    return of_one / max(run.metrics["rounds"], 1)


def _communicating(run: Run, network: Network) -> NDArray[np.float64]:
    """Return the seconds in which messages travel in each round, (rounds,).

    What workers tell each other to agree on a selection is gathered first; of a bound that no
    system can reach it is not counted: see `Algorithm.achievable`.
    """
    assert isinstance(run.cell, TrainingCell)
    workers = int(run.metrics["workers"])
    names = ("uplink_bytes", "downlink_bytes", "coordination_bytes")
    counted = np.array([run.traces[name] for name in names], dtype=np.float64).T / workers
    if not algorithm(run.cell.algorithm).achievable:
        counted[:, 2] = 0.0
    distinct, which = np.unique(counted, axis=0, return_inverse=True)
    seconds = [
        network.exchange(workers, up, run.summed_bytes, down).seconds
        + (network.all_gather(workers, agreed).seconds if agreed else 0.0)
        for up, down, agreed in distinct.tolist()
    ]
    return np.array(seconds, dtype=np.float64)[which.reshape(-1)]
