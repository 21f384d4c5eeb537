"""An experiment that was interrupted goes on from where it was, and ends as if it had not been."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.results.journal import Journal
from tests.cli import outside
from tests.cli.processes import interrupt, kill, outcomes, started, wait_for_checkpoints

Call = Callable[..., Any]

SMALL = ["linreg", "-n", "4", "--samples", "30", "--dim", "20", "-r", "60", "-d", "0.1"]
SMALL += ["-f", "json", "--processes", "1"]
ALGORITHMS = [f"{outside.NAME}:beta=0.25", f"{outside.NAME}:beta=0.75", "regtopk:mu=4"]
JOBS = [*SMALL, *(part for name in ALGORITHMS for part in ("-a", name))]


@pytest.fixture(autouse=True)
def _slow_algorithm(tmp_path: Path) -> Iterator[None]:
    outside.bring(tmp_path)
    yield
    outside.forget()


def in_order(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort runs by their cells: those of several jobs end in any order."""
    return sorted(runs, key=lambda run: json.dumps(run["cell"]))


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_ctrl_c_stops_several_jobs_which_are_resumed_to_the_same_runs(run: Call) -> None:
    undisturbed = outcomes(run(*JOBS, "--no-save").stdout)
    command = [*JOBS, "--jobs", "2", "--checkpoint-every", "5"]
    with started(*command, **outside.slow(0.2)) as process:
        folder = wait_for_checkpoints(process, cells=2)
        code, stdout, stderr = interrupt(process)
    assert code == 130
    assert "Traceback" not in stderr
    assert f"to resume: regtopk-bench linreg --resume {folder}" in stderr
    assert [each["status"] for each in outcomes(stdout)] == ["stopped", "stopped"]
    stored = [line["run"]["status"] for line in journal(folder) if "run" in line]
    assert stored == ["stopped", "stopped"]
    resumed = run("linreg", "--resume", str(folder), "-f", "json", "--jobs", "1")
    assert resumed.exit_code == 0, resumed.stderr
    assert outcomes(resumed.stdout) == undisturbed


def test_whoever_presses_ctrl_c_twice_does_not_wait_for_a_round() -> None:
    with started(*JOBS, "--jobs", "2", **outside.slow(600.0)) as process:
        deadline = time.monotonic() + 60
        while sum(file.read_text().count("started") for file in Path().glob("runs/*/*.jsonl")) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(4.0)  # until they are in their first round
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(1.0)
        code, _, stderr = interrupt(process)
    assert code == 130
    assert "Traceback" not in stderr


def test_a_killed_experiment_leaves_no_process_of_several_jobs(run: Call) -> None:
    undisturbed = outcomes(run(*JOBS, "--no-save").stdout)
    command = [*JOBS, "--jobs", "2", "--checkpoint-every", "5"]
    with started(*command, **outside.slow(0.2)) as process:
        folder = wait_for_checkpoints(process, cells=2)
        kill(process)
        process.communicate(timeout=10)  # not before all who could still write have ended
    begun = [line for line in journal(folder) if "started" in line]
    assert [line["resumed_at"] for line in begun] == [0, 0]
    resumed = run("linreg", "--resume", str(folder), "-f", "json", "--jobs", "1")
    assert resumed.exit_code == 0, resumed.stderr
    assert outcomes(resumed.stdout) == undisturbed


class Trouble:
    """Fails in the tenth round, as often as it is asked to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        gradients = rb.LinearRegression.gradients

        def failing(
            self: rb.LinearRegression, parameters: Tensor, workers: range, round: int
        ) -> Tensor:
            if round == 9:
                raise error
            return gradients(self, parameters, workers, round)

        monkeypatch.setattr(rb.LinearRegression, "gradients", failing)


def test_a_result_and_its_name_are_on_disk_before_the_journal_is_removed(
    run: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a machine that fails just then has neither."""
    seen = []
    to_disk = os.fsync

    def watched(descriptor: int) -> None:
        to_disk(descriptor)
        seen.append((os.fstat(descriptor), {path.name for path in Path().glob("runs/*/*")}))

    monkeypatch.setattr(os, "fsync", watched)
    assert run(*SMALL, "-a", "topk").exit_code == 0
    (folder,) = Path("runs").iterdir()
    assert any(
        os.path.samestat(which, folder.stat()) and names >= {"journal.jsonl", "result.json"}
        for which, names in seen
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [(MemoryError("no memory left"), 3), (rb.RunError("the disk is full"), 3)],
    ids=["unexpected", "expected"],
)
def test_an_error_in_the_first_cell_leaves_its_checkpoints(
    run: Call, error: Exception, code: int
) -> None:
    flags = [*SMALL, "-a", "topk", "-a", "regtopk", "--checkpoint-every", "4"]
    undisturbed = outcomes(run(*flags, "--no-save").stdout)
    with pytest.MonkeyPatch.context() as monkeypatch:
        Trouble(monkeypatch, error)
        done = run(*flags)
    assert done.exit_code == code
    assert str(error) in done.stderr
    (folder,) = Path("runs").iterdir()
    assert f"to resume: regtopk-bench linreg --resume {folder}" in done.stderr
    assert len(list(folder.glob("checkpoints/*/round-*.npz"))) == 2
    resumed = run("linreg", "--resume", str(folder), "-f", "json")
    assert resumed.exit_code == 0, resumed.stderr
    assert outcomes(resumed.stdout) == undisturbed
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize(
    ("error", "code", "last"),
    [
        (rb.RunError("cannot save: the disk is full"), 3, "error: cannot save: the disk is full"),
        (KeyboardInterrupt(), 130, "to resume: regtopk-bench linreg --resume "),
    ],
    ids=["full disk", "Ctrl-C"],
)
def test_a_run_that_was_finished_and_not_recorded_is_not_lost(
    run: Call, error: BaseException, code: int, last: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Journal, "append", fail)
        done = run(*SMALL, "-a", "topk")
    assert done.exit_code == code
    assert done.stderr.splitlines()[-1].startswith(last)
    assert [each["status"] for each in outcomes(done.stdout)] == ["finished"]
    (folder,) = Path("runs").iterdir()
    assert outcomes((folder / "result.json").read_text()) == outcomes(done.stdout)
    assert f"to resume: regtopk-bench linreg --resume {folder}" in done.stderr


def test_an_error_before_the_first_checkpoint_leaves_nothing(run: Call) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        Trouble(monkeypatch, MemoryError("no memory left"))
        done = run(*SMALL, "-a", "topk")
    assert done.exit_code == 3
    assert "to resume" not in done.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rounds", "61"], "--rounds is 61 (flag), but the run to resume has 60"),
        (["--dim", "21"], "--dim is 21 (flag), but the run to resume has 20"),
        (["--seeds", "1"], "--seeds is 1 (flag), but the run to resume has 0"),
        (["-a", "regtopk:mu=5"], "regtopk:mu=5 (flag), but the run to resume has regtopk:mu=4"),
        (["-d", "0.2"], "--density is 0.2 (flag), but the run to resume has 0.1"),
    ],
)
def test_what_decides_about_numbers_cannot_be_changed(
    run: Call, flags: list[str], message: str
) -> None:
    run(*SMALL, "-a", "regtopk:mu=4")
    (folder,) = Path("runs").iterdir()
    before = (folder / "result.json").read_bytes()
    done = run("linreg", "--resume", str(folder), *flags)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (folder / "result.json").read_bytes() == before


def test_what_does_not_can_be_and_nothing_is_run_again(run: Call) -> None:
    before = run(*SMALL, "-a", "topk").stdout
    (folder,) = Path("runs").iterdir()
    with pytest.MonkeyPatch.context() as monkeypatch:
        Trouble(monkeypatch, MemoryError("it was run again"))
        flags = ["--checkpoint-every", "7", "--plot-format", "svg", "-f", "json", "--rounds", "60"]
        done = run("linreg", "--resume", str(folder), *flags)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["runs"] == json.loads(before)["runs"]
    assert (folder / "convergence.svg").exists()


def test_a_run_of_another_command_is_refused(run: Call) -> None:
    assert run("toy", "--save", "-r", "3", "--at", "1").exit_code == 0
    (folder,) = Path("runs").iterdir()
    done = run("linreg", "--resume", str(folder))
    assert done.exit_code == 2
    assert "is a run of toy, not of linreg" in done.stderr


def test_only_what_this_program_left_unfinished_is_removed(run: Call) -> None:
    """A result may have been copied to a folder with other things in it, such as one's home."""
    assert run(*SMALL, "-a", "topk").exit_code == 0
    (folder,) = Path("runs").iterdir()
    home = Path("home")
    (home / "mail").mkdir(parents=True)
    (folder / "result.json").rename(home / "result.json")
    others = [home / ".history.1", home / "mail/.index.12345", home / "mail/.result.json.7"]
    unfinished = [home / ".result.json.7", home / ".traces.csv.7", home / ".journal.jsonl.7"]
    for path in others + unfinished:
        path.write_text("")
    done = run("linreg", "--resume", str(home / "result.json"), "-f", "json")
    assert done.exit_code == 0, done.stderr
    assert all(path.exists() for path in others)
    assert not any(path.exists() for path in unfinished)
