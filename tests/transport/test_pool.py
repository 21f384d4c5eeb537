"""The pool of processes: the same bits as one process, and a clean end whatever happens."""

from __future__ import annotations

import errno
import functools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.sparsify import ErrorFeedback


@dataclass(frozen=True, kw_only=True)
class Threshold(rb.Sparsifier):
    """A user's own sparsifier with messages of different lengths, 0 included."""

    level: float

    def init(self, placement: rb.Placement) -> ErrorFeedback:
        state: ErrorFeedback = rb.TopK(k=1).init(placement)
        return state

    def compress(self, state: ErrorFeedback, grad_NJ: Tensor) -> rb.SparseGradient:
        accumulated = state.accumulate(grad_NJ)
        chosen = accumulated.abs() >= self.level
        counts = chosen.sum(dim=1)
        order = chosen.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        indices = order[:, : int(counts.max())]
        padding = torch.arange(indices.shape[1]) >= counts[:, None]
        values = accumulated.gather(1, indices).masked_fill(padding, 0.0)
        state.residual_NJ.masked_fill_(chosen, 0.0)
        return rb.SparseGradient(
            indices.masked_fill(padding, 0), values, accumulated.shape[1], counts
        )


class FailsLater(rb.LogisticToy):
    """Breaks in a worker of the second shard."""

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        grad = super().gradients(parameters_J, workers, round)
        if workers.start == 1 and round == 3:
            grad[0, 1] = float("nan")
        return grad


class Unpicklable(rb.LogisticToy):
    def __getstate__(self) -> Any:
        raise TypeError("holds a lock")


class TooLarge(rb.LogisticToy):
    """There is no memory for it: here, or in the process that it is sent to."""

    def __init__(self, here: bool) -> None:
        super().__init__()
        self._here = here

    def __getstate__(self) -> Any:
        if self._here:
            raise MemoryError
        return self.__dict__

    def __setstate__(self, state: Any) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")


def same(first: rb.Trace, second: rb.Trace) -> bool:
    return (
        all(np.array_equal(first[name], second[name]) for name in first.metrics)
        and np.array_equal(first.final_parameters, second.final_parameters)
        and np.array_equal(first.bytes_sent.uplink, second.bytes_sent.uplink)
        and np.array_equal(first.bytes_sent.downlink, second.bytes_sent.downlink)
        and np.array_equal(first.bytes_sent.coordination, second.bytes_sent.coordination)
    )


@pytest.mark.parametrize(
    ("sparsifier", "dim"),  # of 21: gradients through H_n; of 90: through X_n
    [
        (rb.Dense(), 21),
        (rb.TopK(density=0.3), 21),
        (rb.RegTopK(density=0.6, mu=4.0), 90),
        (rb.RegTopK(density=0.6, mu=4.0, denominator="current"), 21),
        (rb.RandomK(density=0.3), 90),
        (rb.Oracle(density=0.3), 90),
        (Threshold(level=3.0), 21),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, rb.Sparsifier) else str(value),
)
def test_traces_are_identical_for_1_2_and_4_processes(sparsifier: rb.Sparsifier, dim: int) -> None:
    workload = rb.LinearRegression.synthetic(workers=7, samples=30, dim=dim, seed=2)
    run = functools.partial(rb.simulate, workload, sparsifier, rounds=40, learning_rate=0.01)
    one = run(processes=1)
    for processes in (2, 4):
        several = run(processes=processes)
        assert several.processes == processes
        assert same(one, several)


def test_an_empty_selection_moves_nothing() -> None:
    workload = rb.LinearRegression.synthetic(workers=4, samples=30, dim=10)
    trace = rb.simulate(workload, Threshold(level=1e9), rounds=5, learning_rate=0.01, processes=2)
    assert not trace.bytes_sent.uplink.any()
    assert len(set(trace["gap"].tolist())) == 1


def test_an_error_in_another_process_names_worker_and_round() -> None:
    with pytest.raises(rb.NonFiniteGradientError, match="worker 1 in round 4") as caught:
        rb.simulate(FailsLater(), rb.TopK(k=1), rounds=10, learning_rate=0.1, processes=2)
    assert caught.value.trace is not None
    assert caught.value.trace.rounds == 3


def test_a_workload_that_cannot_be_sent_is_explained() -> None:
    with pytest.raises(rb.ConfigurationError, match=r"cannot be sent .*holds a lock"):
        rb.simulate(Unpicklable(), rb.TopK(k=1), rounds=1, learning_rate=0.1, processes=2)


@pytest.mark.parametrize("processes", [0, 3, "many"])
def test_impossible_numbers_of_processes_are_refused(processes: Any) -> None:
    with pytest.raises(rb.ConfigurationError, match="not between 1"):
        rb.simulate(
            rb.LogisticToy(), rb.TopK(k=1), rounds=1, learning_rate=0.1, processes=processes
        )


def test_stopping_early_ends_the_pool_quickly() -> None:
    started = time.monotonic()
    workload = rb.LinearRegression.synthetic(workers=4, samples=30, dim=10)
    trace = rb.simulate(
        workload,
        rb.TopK(k=2),
        rounds=10**9,
        learning_rate=0.01,
        processes=2,
        on_round=lambda info: info.round == 25,
    )
    assert trace.rounds == 25
    assert time.monotonic() - started < 30.0


@pytest.mark.parametrize(
    ("here", "reason"), [(True, "no memory left"), (False, "Cannot allocate memory")]
)
def test_a_lack_of_memory_is_not_blamed_on_the_class(here: bool, reason: str) -> None:
    with pytest.raises(rb.RunError, match=rf"cannot start another process \({reason}\): do with"):
        rb.simulate(TooLarge(here), rb.TopK(k=1), rounds=1, learning_rate=0.1, processes=2)
