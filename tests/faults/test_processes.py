"""Killed, stopped and interrupted processes: a clear end, nothing lost, nothing left."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import outcomes, whole
from tests.faults import striking
from tests.faults.trial import checkpointed, trial, wait_for

ENDLESS = ("linreg", "-r", "5000000", "-a", "topk", "-d", "0.4", "--checkpoint-every", "200")
POOL = (*ENDLESS, "-p", "2")
JOBS = (*ENDLESS, "-j", "2", "-s", "0,1")
ONCE = ("--restarts", "0")
SHORT = ("linreg", "-r", "3000", "-a", "topk", "-d", "0.4", "-s", "0,1", "-f", "json")
"""Long enough to be hit after its first checkpoint, of which it writes one every 200 rounds."""
OFTEN = ("--checkpoint-every", "200")
LIMIT = "12"
"""Seconds; PyTorch has to be imported in less, on a busy machine too."""


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    """What the short command gives if nothing happens to it."""
    return outcomes(whole(*SHORT, "-p", "1", "--no-save").stdout)


@functools.cache
def outcomes_of(*command: str) -> list[Any]:
    """Return what a command gives if nothing happens to it."""
    return outcomes(whole(*command, "-p", "1", "--no-save", "-f", "json").stdout)


@pytest.mark.parametrize("victim", ["server", "server before it is asked", "process"])
def test_a_pool_process_killed_while_it_starts_is_started_again(
    victim: str, undisturbed: list[Any]
) -> None:
    with trial(*SHORT, "-p", "2") as run:
        killed = run.pool()[0] if victim == "process" else run.server()
        if "before" in victim:
            run.signal(signal.SIGSTOP)
        os.kill(killed, signal.SIGKILL)
        if "before" in victim:
            wait_for(lambda: killed not in run.all())
            run.signal(signal.SIGCONT)
        code, out, err = run.end()
    assert (code, outcomes(out)) == (0, undisturbed), err
    assert "process 1 of the pool, hosting workers 10 to 19, " in err
    assert "; topk seed 0 starts from the beginning (restart 1 of 3)\n" in err


@pytest.mark.parametrize("flag", ["-p", "-j"])
def test_a_process_that_is_killed_is_started_again(flag: str, undisturbed: list[Any]) -> None:
    """One note says what has happened, and the run is the undisturbed one, bit for bit."""
    with trial(*SHORT, *OFTEN, flag, "2") as run:
        run.wait_for(checkpointed)
        os.kill(run.pool(2 if flag == "-j" else 1)[0], signal.SIGKILL)
        code, out, err = run.end()
    assert (code, outcomes(out)) == (0, undisturbed), err
    (note,) = [line for line in err.splitlines() if "warning" in line]
    where = r"(goes on after round \d+00|starts from the beginning)"
    assert re.search(rf", died \(killed by SIGKILL\); .* {where} \(restart 1 of 3\)$", note)
    assert sorted(run["execution"]["restarts"] for run in json.loads(out)["runs"]) == [0, 1]
    (folder,) = Path("runs").iterdir()
    assert {path.name for path in folder.iterdir()} <= {
        *("result.json", "traces.csv", "comparisons.csv", "convergence.png")
    }


def test_a_process_that_is_lost_again_and_again_ends_the_run() -> None:
    with trial(*POOL, "--restarts", "1") as run:
        run.wait_for(checkpointed)
        (first,) = run.pool()
        os.kill(first, signal.SIGKILL)
        (second,) = run.wait_for(lambda: [pid for pid in run.pool() if pid != first])
        os.kill(second, signal.SIGKILL)
        code, _, err = run.end()
    assert code == 3
    (folder,) = Path("runs").iterdir()
    assert "(restart 1 of 1)" in err
    assert re.search(r"error: process 1 of the pool, .* after 1 restart; run again", err)
    assert f"to resume: regtopk-bench linreg --resume {folder}" in err


TALKING = """
import os
from dataclasses import dataclass

from regtopk_bench import TopK


@dataclass(frozen=True, kw_only=True)
class Talking(TopK):
    def compress(self, state, grad_NJ):
        read, write = os.pipe()
        os.close(read)
        os.write(write, b"to nobody")
"""


@pytest.mark.parametrize(
    "flags", [("-p", "1"), ("-p", "2"), ("-j", "2", "-s", "0,1")], ids=["one", "pool", "jobs"]
)
def test_a_pipe_other_than_stdout_that_breaks_fails_the_run(
    flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", os.environ.get("PYTHONPATH", "")]))
    Path("talking.py").write_text(TALKING)
    done = whole("linreg", "-a", "talking.Talking", "-d", "0.4", "-r", "3", "-q", *flags)
    assert done.returncode == 3
    assert "Broken pipe" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_pool_process_killed_in_a_round_ends_the_run_within_5_seconds() -> None:
    with trial(*ENDLESS, *ONCE, "-p", "3") as run:
        run.wait_for(checkpointed)
        os.kill(run.pool(2)[1], signal.SIGKILL)
        code, _, err = run.end(5.0)
    assert code == 3
    assert "died (killed by SIGKILL)" in err
    (folder,) = Path("runs").iterdir()
    (kept,) = json.loads((folder / "result.json").read_text())["runs"]
    assert kept["status"] == "failed"
    assert kept["metrics"]["rounds"] == len(kept["traces"]["gap"]) > 0


@pytest.mark.parametrize("apart", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_whoever_asks_twice_gets_the_same_exit_code(apart: float) -> None:
    with trial(*ENDLESS, "-p", "1") as run:
        run.wait_for(checkpointed)
        run.signal(signal.SIGINT)
        time.sleep(apart)
        run.signal(signal.SIGINT)
        code, _, err = run.end()
    assert code == 130
    assert err.endswith("interrupted\n")


@pytest.mark.parametrize(
    ("number", "group"),
    [
        pytest.param(signal.SIGINT, True, id="ctrl-c"),
        pytest.param(signal.SIGHUP, True, id="closed terminal"),
        pytest.param(signal.SIGTERM, True, id="scheduler"),
        pytest.param(signal.SIGTERM, False, id="docker stop"),
    ],
)
@pytest.mark.parametrize("command", [POOL, JOBS], ids=["pool", "jobs"])
def test_signals_that_stop_save_what_is_there(
    command: tuple[str, ...], number: int, group: bool
) -> None:
    with trial(*command) as run:
        run.wait_for(checkpointed)
        run.signal(number, group=group)
        code, _, err = run.end()
    assert code == 130
    (folder,) = Path("runs").iterdir()
    assert f"to resume: regtopk-bench linreg --resume {folder}" in err
    assert err.endswith("interrupted\n")
    runs = json.loads((folder / "result.json").read_text())["runs"]
    assert runs
    assert all(each["status"] == "stopped" for each in runs)


def test_what_had_finished_when_a_scheduler_ends_a_run_is_not_run_again() -> None:
    command = ("linreg", "-a", "topk,regtopk", "-d", "0.4", "-r", "300", "-s", "0-400", "-p", "1")
    with trial(*command) as run:
        run.wait_for(lambda: _finished() > 20)
        run.signal(signal.SIGTERM)
        code, _, _ = run.end()
    assert code == 130
    (folder,) = Path("runs").iterdir()
    kept = json.loads(whole("show", str(folder), "--no-plot", "-f", "json").stdout)["runs"]
    assert sum(each["status"] == "finished" for each in kept) >= 10
    assert {path.name for path in folder.iterdir()} <= {
        *("journal.jsonl", "result.json", "traces.csv", "comparisons.csv", "checkpoints")
    }


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with trial(*ENDLESS, "-p", "1") as run:
            run.wait_for(checkpointed)
            run.signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                run.process.wait(0.5)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("command", [POOL, JOBS], ids=["pool", "jobs"])
def test_a_process_that_hangs_ends_the_run(command: tuple[str, ...]) -> None:
    with trial(*command, *ONCE, "--timeout", LIMIT) as run:
        run.wait_for(checkpointed)
        stopped = run.pool(2 if command is JOBS else 1)[0]
        os.kill(stopped, signal.SIGSTOP)
        code, _, err = run.end()
    assert code == 3
    assert f"has not answered for {LIMIT} s: process {stopped} hangs or was stopped" in err
    (folder,) = Path("runs").iterdir()
    assert f"--resume {folder}" in err


@pytest.mark.parametrize("moment", ["starting", "running"])
def test_a_server_that_hangs_does_no_harm(moment: str) -> None:
    """While a process starts, it is waited for as long as for a round; later it is not needed."""
    with trial(*POOL, *ONCE, "--timeout", LIMIT) as run:
        if moment == "running":
            run.wait_for(checkpointed)
        os.kill(run.server(), signal.SIGSTOP)
        if moment == "running":
            run.signal(signal.SIGINT)
        code, _, err = run.end()
    assert code == (3 if moment == "starting" else 130)
    if moment == "starting":
        assert f"did not start within {LIMIT} s" in err


@pytest.mark.parametrize("stopped", [False, True])
def test_ctrl_c_while_a_pool_starts_is_one_line(stopped: bool) -> None:
    with trial(*POOL) as run:
        server = run.server()
        if stopped:
            os.kill(server, signal.SIGSTOP)
        run.signal(signal.SIGINT, group=True)
        code, out, err = run.end()
    assert (code, out, err) == (130, "", "interrupted\n")
    assert not Path("runs").exists()


@pytest.mark.parametrize("command", [POOL, JOBS], ids=["pool", "jobs"])
def test_a_signal_between_the_steps_of_starting_the_server_leaves_nothing(
    command: tuple[str, ...],
) -> None:
    made = striking.command(signal.SIGTERM, "os.mkdir", "/regtopk-bench-")
    with trial(*command, "-q", command=made) as run:
        code, out, err = run.end()
    assert (code, out, err) == (130, "", "interrupted\n")


def test_a_signal_while_text_is_executed_has_the_same_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in making a dataclass, which much of the time of an import is spent on."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", os.environ.get("PYTHONPATH", "")]))
    Path("interrupting.py").write_text(
        "exec('import os, signal; os.kill(os.getpid(), signal.SIGINT)')\n"
    )
    with trial("linreg", "-a", "interrupting.Algorithm") as run:
        code, _, err = run.end()
    assert (code, err) == (130, "interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_signals_are_handled_long_before_the_program_is_imported(number: int, after: float) -> None:
    with trial(*ENDLESS) as run:
        run.wait_for(run.handles_signals)
        time.sleep(after)
        run.signal(number)
        code, _, err = run.end()
    assert code == 130
    assert err.endswith("interrupted\n")


@pytest.mark.parametrize("victim", ["program", "group", "tracker"])
def test_whoever_is_killed_the_run_can_be_resumed_and_nothing_is_left(victim: str) -> None:
    command = ("linreg", "-r", "6000", "-a", "topk", "-d", "0.4", "--checkpoint-every", "500")
    undisturbed = outcomes_of(*command)
    with trial(*command, "-p", "2", "-f", "json") as run:
        run.wait_for(checkpointed)
        if victim == "tracker":
            (pid,) = [pid for pid, line in run.all().items() if "resource_tracker" in line]
            os.kill(pid, signal.SIGKILL)
        else:
            run.signal(signal.SIGKILL, group=victim == "group")
        code, out, _ = run.end()
    (folder,) = Path("runs").iterdir()
    if victim == "tracker":  # it has nothing to do
        assert (code, outcomes(out)) == (0, undisturbed)
    else:
        assert code == -signal.SIGKILL
        assert whole("show", str(folder), "--no-plot").returncode == 0
        resumed = whole("linreg", "--resume", str(folder), "-p", "1", "-f", "json")
        assert resumed.returncode == 0, resumed.stderr
        assert outcomes(resumed.stdout) == undisturbed
    assert {path.name for path in folder.iterdir()} == {
        *("result.json", "traces.csv", "convergence.png")
    }


@pytest.mark.parametrize(
    ("event", "text"),
    [
        pytest.param("shutil.rmtree", "/checkpoints/", id="checkpoints being removed"),
        pytest.param("os.rmdir", "/checkpoints/", id="checkpoints removed"),
        pytest.param("os.remove", "journal.jsonl", id="journal removed"),
    ],
)
def test_a_run_that_is_killed_just_after_its_end_is_not_lost(event: str, text: str) -> None:
    command = ("linreg", "-r", "300", "-a", "topk", "-d", "0.4", "--checkpoint-every", "200")
    undisturbed = outcomes_of(*command)
    with trial(*command, "-p", "1", command=striking.command(signal.SIGKILL, event, text)) as run:
        assert run.end()[0] == -signal.SIGKILL
    (folder,) = Path("runs").iterdir()
    shown = whole("show", str(folder), "--no-plot", "-f", "json")
    assert outcomes(shown.stdout) == undisturbed
    resumed = whole("linreg", "--resume", str(folder), "-p", "1", "-v", "-f", "json")
    assert outcomes(resumed.stdout) == undisturbed
    assert {path.name for path in folder.iterdir()} == {
        *("result.json", "traces.csv", "convergence.png")
    }


def test_a_run_is_resumed_by_one_process_at_a_time() -> None:
    with trial(*ENDLESS, "-p", "1") as run:
        (folder,) = run.wait_for(checkpointed)
        second = whole("linreg", "--resume", str(folder))
        assert second.returncode == 2
        assert "is being written to by another process" in second.stderr
        run.signal(signal.SIGINT)
        assert run.end()[0] == 130


def _finished() -> int:
    """Count the lines of the journal."""
    return sum(path.read_text().count("\n") for path in Path().glob("runs/*/journal.jsonl"))
