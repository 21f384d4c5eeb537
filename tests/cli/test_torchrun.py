"""Commands in several processes that torchrun has started: the bits of one, and one voice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EVERY = "dense,topk,regtopk,randomk,oracle"
LINREG = ["linreg", "-r", "300", "-a", EVERY, "-d", "0.4", "--workers", "7"]
CIFAR = ["cifar", "--dataset", "synthetic", "-r", "50", "--evaluate-every", "25", "-a", EVERY]


def launched(ranks: int, *call: str, restarts: int = 0) -> list[str]:
    """Return the command line of a command in so many processes."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*run, f"--nproc-per-node={ranks}", f"--max-restarts={restarts}", "-m", *call]


def bench(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


def numbers(result: str) -> list[Any]:
    """Return what must not depend on where the workers are."""
    return [[run["cell"], run["metrics"], run["traces"]] for run in json.loads(result)["runs"]]


def one_process(*call: str) -> list[Any]:
    ended = bench(sys.executable, "-m", "regtopk_bench", *call, "-p", "1")
    assert ended.returncode == 0, ended.stderr
    return numbers(ended.stdout)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """The numbers of one process."""
    return one_process(*LINREG, "-f", "json", "--no-save")


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_linreg_gives_the_bits_of_one_process(ranks: int, expected: list[Any]) -> None:
    several = bench(*launched(ranks, "regtopk_bench", *LINREG, "-f", "json"))
    assert numbers(several.stdout) == expected, several.stderr
    assert several.stderr.count("saved runs") == 1
    assert {run["execution"]["processes"] for run in json.loads(several.stdout)["runs"]} == {ranks}


@pytest.mark.parametrize("ranks", [2, 4])
def test_cifar_gives_the_bits_of_one_process(ranks: int) -> None:
    command = [*CIFAR, "-d", "0.01", "--workers", "4", "--batch", "4", "-f", "json", "--no-save"]
    several = bench(*launched(ranks, "regtopk_bench", *command))
    assert numbers(several.stdout) == one_process(*command), several.stderr


def test_a_usage_error_is_told_once() -> None:
    for wrong, said in (
        (["-d", "7"], "error: --density: 7 is not in (0, 1]"),
        (["-p", "3"], "error: torchrun has started 2 processes"),
        (["--workers", "1"], "error: processes 2 is not between 1 and"),
    ):
        ended = bench(*launched(2, "regtopk_bench", "linreg", "-r", "5", *wrong))
        assert ended.returncode
        assert ended.stderr.count("error: ") == 1
        assert said in ended.stderr
        assert not ended.stdout


def workers_of(parent: int) -> list[int]:
    """Return the processes that torchrun has started, by rank."""
    found = {}
    for each in Path("/proc").iterdir():
        try:
            if f"PPid:\t{parent}\n" in (each / "status").read_text():
                environment = (each / "environ").read_bytes().split(b"\0")
                rank = [value for value in environment if value.startswith(b"RANK=")]
                found[int(rank[0][5:])] = int(each.name)
        except (OSError, IndexError):
            continue
    return [found[rank] for rank in sorted(found)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_started_again_and_goes_on(rank: int) -> None:
    command = ["linreg", "-r", "4000", "-a", "topk,regtopk", "-d", "0.6", "-f", "json"]
    expected = one_process(*command, "--no-save")
    call = launched(2, "regtopk_bench", *command, "--checkpoint-every", "50", restarts=2)
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        until = time.monotonic() + 120
        while not list(Path().glob("runs/*/checkpoints/*/*")) and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(workers_of(run.pid)[rank], signal.SIGKILL)
        out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    assert numbers(out) == expected
    (folder,) = Path("runs").iterdir()
    assert {each.name for each in folder.iterdir()} == {
        *("result.json", "traces.csv", "convergence.png")
    }
