"""A pool that loses a process is started again: the same bits, and an end if it is no use."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import regtopk_bench as rb

ROUNDS = 20


class Killing(rb.LinearRegression):
    """Ends or stops the process that hosts worker 2, in some round, for as long as told to."""

    fuse: Path
    """A file with a letter for each time that is left."""
    number = signal.SIGKILL
    round = 13

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        if 2 in workers and round + 1 == self.round and (left := self.fuse.read_text()):
            self.fuse.write_text(left[1:])
            os.kill(os.getpid(), self.number)
        return super().gradients(parameters_J, workers, round)


def killing(tmp_path: Path, times: int) -> Killing:
    workload = Killing.synthetic(workers=3, samples=30, dim=8, seed=1)
    workload.fuse = tmp_path / "fuse"
    workload.fuse.write_text("x" * times)
    return workload


def train(workload: rb.Workload, **options: Any) -> rb.Trace:
    settings = {"rounds": ROUNDS, "learning_rate": 0.02, "momentum": 0.5, "processes": 3}
    return rb.simulate(workload, rb.RegTopK(k=2, mu=1.0), **{**settings, **options})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> rb.Trace:
    return train(killing(tmp_path_factory.mktemp("undisturbed"), 0), processes=1)


def assert_same(first: rb.Trace, second: rb.Trace) -> None:
    assert np.array_equal(first.final_parameters, second.final_parameters)
    assert np.array_equal(first["gap"], second["gap"])
    for one, other in zip(
        first.bytes_sent.by_round.values(), second.bytes_sent.by_round.values(), strict=True
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("every", "where", "again"),
    [(5, "goes on after round 10", 11), (None, "starts from the beginning", 1)],
)
def test_it_goes_on_from_the_last_checkpoint_to_the_same_bits(
    every: int | None, where: str, again: int, tmp_path: Path, undisturbed: rb.Trace
) -> None:
    checkpoints = rb.Checkpoints(tmp_path / "checkpoints", every) if every else None
    seen = list[int]()
    what = r"process 2 of the pool, hosting workers 2 to 2, died \(killed by SIGKILL\)"
    with pytest.warns(rb.RestartWarning, match=rf"^{what}; regtopk seed 0 {where} \(restart 1 of"):
        trace = train(
            killing(tmp_path, 1),
            checkpoints=checkpoints,
            on_round=lambda info: seen.append(info.round),
        )
    assert_same(trace, undisturbed)
    assert (trace.restarts, undisturbed.restarts) == (1, 0)
    assert seen == [*range(1, 13), *range(again, ROUNDS + 1)]


def test_a_process_that_hangs_is_started_again(tmp_path: Path, undisturbed: rb.Trace) -> None:
    workload = killing(tmp_path, 1)
    workload.number = signal.SIGSTOP
    with pytest.warns(rb.RestartWarning, match="has not answered for 12 s: process"):
        trace = train(workload, timeout=12.0)
    assert_same(trace, undisturbed)


def test_what_is_lost_each_time_is_given_up(tmp_path: Path) -> None:
    """Whether it gets any further makes no difference: it would be lost at the next step."""
    workload = killing(tmp_path, 3)
    with (
        pytest.warns(rb.RestartWarning) as warned,
        pytest.raises(rb.WorkerDiedError, match=r"\), after 2 restarts; run again") as caught,
    ):
        train(workload, restarts=2)
    assert workload.fuse.read_text() == ""
    for number, each in enumerate(warned, start=1):
        assert str(each.message).endswith(f" (restart {number} of 2)")
    assert len(warned) == 2
    assert caught.value.trace is not None
    assert (caught.value.trace.rounds, caught.value.trace.restarts) == (12, 2)


def test_it_is_not_started_again_if_nobody_wants_that(tmp_path: Path) -> None:
    with pytest.raises(rb.WorkerDiedError, match=r"died \(killed by SIGKILL\); run again"):
        train(killing(tmp_path, 1), restarts=0)
    with pytest.raises(rb.ConfigurationError, match="restarts -1 is not at least 0"):
        train(killing(tmp_path, 0), restarts=-1)


def test_other_failures_end_a_run_at_once(tmp_path: Path) -> None:
    def fail(info: rb.RoundInfo) -> None:
        raise rb.RunError("the disk is full")

    with pytest.raises(rb.RunError, match="the disk is full"):
        train(killing(tmp_path, 0), on_round=fail)
