"""Ranks of torchrun that are killed or stopped: started again to the same bits, or a clear end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import outcomes, torchrun, whole
from tests.faults import striking
from tests.faults.trial import Trial, checkpointed, trial

SHORT = ("linreg", "-r", "400", "-a", "topk,regtopk", "-d", "0.6", "-f", "json")
LONG = ("linreg", "-r", "5000000", "-a", "topk", "-d", "0.4")
OFTEN = ("--checkpoint-every", "50")
FINISHED = {"result.json", "traces.csv", "convergence.png"}
LIMIT = "15"
"""Seconds; PyTorch has to be imported in less, on a busy machine too."""


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    """What the short command gives if nothing happens to it."""
    return outcomes(whole(*SHORT, "-p", "1", "--no-save").stdout)


def rank(run: Trial, number: int) -> int:
    """Return the pid of a rank."""
    found: int = run.wait_for(lambda: run.ranks().get(number, 0))
    return found


def assert_finished_once(ended: tuple[int, str, str], undisturbed: list[Any]) -> None:
    """Check the end of a run that was started again: one result, and nothing else is left."""
    code, out, err = ended
    assert (code, outcomes(out)) == (0, undisturbed), err
    (folder,) = Path("runs").iterdir()
    assert {path.name for path in folder.iterdir()} == FINISHED


def test_killed_ranks_are_started_again_and_go_on(undisturbed: list[Any]) -> None:
    """Rank 0 while it trains, and the other one as soon as it is there again."""
    with trial(*SHORT, *OFTEN, command=torchrun(2, restarts=2)) as run:
        run.wait_for(checkpointed)
        other = rank(run, 1)
        os.kill(rank(run, 0), signal.SIGKILL)
        run.wait_for(lambda: rank(run, 1) != other)
        os.kill(rank(run, 1), signal.SIGKILL)
        assert_finished_once(run.end(90), undisturbed)


@pytest.mark.timeout(240)
def test_a_rank_that_hangs_is_started_again_and_goes_on(undisturbed: list[Any]) -> None:
    """Rank 1 notices that rank 0 does not answer; torchrun, half a minute later, kills it."""
    with trial(*SHORT, *OFTEN, "--timeout", LIMIT, command=torchrun(2, restarts=1)) as run:
        run.wait_for(checkpointed)
        os.kill(rank(run, 0), signal.SIGSTOP)
        ended = run.end(120)
    assert_finished_once(ended, undisturbed)
    assert f"error: a rank has not answered for {LIMIT} s: it hangs or was stopped" in ended[2]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        pytest.param("os.remove", "journal.jsonl", id="printed"),
        pytest.param("os.remove", "/launch", id="drawn"),
    ],
)
def test_what_was_printed_before_a_rank_is_killed_is_not_printed_again(
    event: str, text: str, undisturbed: list[Any]
) -> None:
    program = striking.command(signal.SIGKILL, event, text)
    with trial(*SHORT, command=torchrun(2, restarts=1, program=program)) as run:
        ended = run.end(90)
    assert "Sending process" in ended[2]  # torchrun says so when it ends the other one
    assert_finished_once(ended, undisturbed)


def test_ranks_end_with_torchrun() -> None:
    with trial(*LONG, *OFTEN, command=torchrun(2)) as run:
        (folder,) = run.wait_for(checkpointed)
        run.signal(signal.SIGKILL)
        run.wait_until_gone(30.0)
    assert (folder / "result.json").exists()
    assert whole("show", str(folder), "--no-plot").returncode == 0
