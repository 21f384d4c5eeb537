"""The pool of processes: the same bits as one process, and a clean end whatever happens."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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


# Faults, with real processes: a run is started, something is killed, and the end is watched.


def descendants(pid: int) -> dict[int, str]:
    """Return pid and command line of every process below one, from /proc."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            waiting.append(child)
            with_nulls = Path(f"/proc/{child}/cmdline").read_bytes() if alive(child) else b""
            found[child] = with_nulls.replace(b"\0", b" ").decode(errors="replace")
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail(f"nothing happened within {seconds} s")


@dataclass
class LongRun:
    """`regtopk-bench linreg` in a pool, running until something happens to it."""

    process: subprocess.Popen[str]
    started: list[int]
    hosts: list[int]

    def finish(self, seconds: float) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, err


@pytest.fixture
def long_run(tmp_path: Path) -> Any:
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    before = set(Path("/dev/shm").iterdir())
    command = [sys.executable, "-m", "regtopk_bench", "linreg", "--rounds", "5000000"]
    command += ["--processes", "3", "--algorithm", "topk", "--output", str(tmp_path / "runs")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=tmp_path,
    )

    def hosting() -> list[int]:
        """The pool is up once two grandchildren run below the server process."""
        servers = [pid for pid, line in descendants(process.pid).items() if "forkserver" in line]
        hosts = [pid for pid in servers for pid in descendants(pid)]
        return hosts if len(hosts) == 2 else []

    hosts = wait_for(hosting, 60)
    wait_for(lambda: all(cpu_seconds(pid) > 1.5 for pid in hosts), 60)  # into the rounds
    run = LongRun(process, list(descendants(process.pid)), hosts)
    yield run
    process.kill()
    process.communicate()
    wait_for(lambda: not any(alive(pid) for pid in run.started), 10)
    wait_for(lambda: set(Path("/dev/shm").iterdir()) <= before, 10)


def test_a_killed_worker_process_ends_the_run_within_5_seconds(long_run: LongRun) -> None:
    os.kill(long_run.hosts[1], signal.SIGKILL)
    code, err = long_run.finish(5.0)
    assert code == 3
    assert "died (killed by SIGKILL)" in err
    assert "Traceback" not in err


def test_ctrl_c_saves_what_is_there_and_leaves_nothing_behind(
    long_run: LongRun, tmp_path: Path
) -> None:
    os.killpg(long_run.process.pid, signal.SIGINT)  # the terminal sends it to the whole group
    code, err = long_run.finish(20.0)
    assert code == 130
    assert "Traceback" not in err
    (saved,) = (tmp_path / "runs").iterdir()
    assert {file.name for file in saved.iterdir()} >= {"result.json", "traces.csv"}
    (run,) = json.loads((saved / "result.json").read_text())["runs"]
    assert run["status"] == "stopped"
    assert run["metrics"]["rounds"] == len(run["traces"]["gap"]) > 0


def test_a_killed_opener_leaves_no_orphans(long_run: LongRun) -> None:
    long_run.process.kill()
    wait_for(lambda: not any(alive(pid) for pid in long_run.hosts), 5)
