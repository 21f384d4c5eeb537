"""An option that takes one value is given once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import whole

Call = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("linreg --rounds 5 --rounds 6", "--rounds is given 2 times: give it once"),
        ("linreg -r 5 --rounds=6 -r5", "--rounds is given 3 times"),
        ("linreg --save --no-save", "--save or --no-save is given 2 times"),
        ("linreg --profile quick --profile paper", "--profile is given 2 times"),
        ("toy -q -q", "--quiet is given 2 times"),
        ("kernels --seeds 1", ""),
        ("show . -f csv -f json", "--format is given 2 times"),
        ("config --profile quick --profile paper", "--profile is given 2 times"),
        ("config linreg -r 5 -r 6", "--rounds is given 2 times"),
        ("baseline show --debug --debug", "--debug is given 2 times"),
        ("runs -o a -o b", "--output is given 2 times"),
    ],
)
def test_twice_is_an_error(run: Call, arguments: str, told: str) -> None:
    done = run(*arguments.split())
    assert done.exit_code == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert not told or done.stderr.count("\n") == 1
    assert not Path("runs").exists()


def test_what_takes_several_values_may_be_repeated(run: Call) -> None:
    done = run(
        "config", "linreg", "-d", "0.1", "-d", "0.2", "-a", "topk", "-a", "dense", "-f", "csv"
    )
    assert done.exit_code == 0, done.stderr
    assert '"0.1, 0.2",flag' in done.stdout
    assert '"topk, dense",flag' in done.stdout


def test_as_a_process_it_is_one_line() -> None:
    done = whole("linreg", "-r", "5", "-r", "6")
    assert done.returncode == 2
    assert done.stderr == "error: --rounds is given 2 times: give it once\n"
