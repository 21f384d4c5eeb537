"""Commands in several processes that torchrun has started: the bits of one, and one voice."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.cli.processes import COMMAND, torchrun

SHORT = ["-a", "topk,regtopk,oracle", "-f", "json"]
LINREG = ["linreg", *SHORT, "-r", "300", "-d", "0.4", "--workers", "7"]
CIFAR = ["cifar", *SHORT, "--dataset", "synthetic", "-r", "6", "-d", "0.01", "-n", "4", "-b", "4"]


def bench(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


def numbers(result: str) -> list[Any]:
    """Return what must not depend on where the workers are."""
    return [[run["cell"], run["metrics"], run["traces"]] for run in json.loads(result)["runs"]]


def one_process(*call: str) -> list[Any]:
    ended = bench(*COMMAND, *call, "-p", "1", "--no-save")
    assert ended.returncode == 0, ended.stderr
    return numbers(ended.stdout)


def test_linreg_gives_the_bits_of_one_process() -> None:
    several = bench(*torchrun(3), *LINREG)
    assert numbers(several.stdout) == one_process(*LINREG), several.stderr
    assert several.stderr.count("saved runs") == 1
    assert {run["execution"]["processes"] for run in json.loads(several.stdout)["runs"]} == {3}


def test_cifar_gives_the_bits_of_one_process() -> None:
    command = [*CIFAR, "--scope", "layer"]
    several = bench(*torchrun(2), *command, "--no-save")
    assert numbers(several.stdout) == one_process(*command), several.stderr


def test_a_usage_error_is_told_once() -> None:
    for wrong, said in (
        (["-d", "7"], "error: --density: 7 is not in (0, 1]"),
        (["-p", "3"], "error: torchrun has started 2 processes, which host"),
        (["--workers", "1"], "error: torchrun has started 2 processes for 1 workers"),
    ):
        ended = bench(*torchrun(2), "linreg", "-r", "5", *wrong)
        assert ended.returncode
        assert ended.stderr.count("error: ") == 1
        assert said in ended.stderr
        assert not ended.stdout
