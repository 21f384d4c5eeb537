"""Machines set up as containers and clusters are: small shared memory, few files, long paths."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.processes import COMMAND, outcomes, whole

REGRESSION = ("linreg", "-r", "20", "-a", "topk", "-d", "0.4", "--no-save", "-f", "json")
IMAGES = ("cifar", "--dataset", "synthetic", "-r", "2", "-a", "topk", "--no-save", "-f", "json")


def under(setting: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command after some lines of shell."""
    script = f'{setting}\nexec "$@"'
    return subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def mounted(options: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with another /dev/shm."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], check=False).returncode:
        pytest.skip("needs the right to mount")
    mount = f"mount -t tmpfs -o {options} none /dev/shm"
    return subprocess.run(
        [unshare, "-m", "bash", "-c", f'{mount} && exec "$@"', "bash", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("options", ["size=64k", "ro"])
@pytest.mark.parametrize(
    "command",
    [(*REGRESSION, "-p", "2"), (*REGRESSION, "-j", "2", "-s", "0,1"), (*IMAGES, "-p", "2")],
    ids=["pool", "jobs", "images"],
)
def test_shared_memory_may_be_small_or_missing(command: tuple[str, ...], options: str) -> None:
    done = mounted(options, *command, "-q")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    plain = [word for word in command if word not in ("-p", "-j", "2")]
    if command[0] == "linreg":
        assert by_seed(done.stdout) == in_one_process(*plain)


@functools.cache
def in_one_process(*command: str) -> list[object]:
    return by_seed(whole(*command, "-p", "1").stdout)


def by_seed(text: str) -> list[object]:
    return sorted(outcomes(text), key=lambda run: int(run["cell"]["seed"]))


def test_the_path_of_the_temporary_folder_may_be_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / ("long" * 30) / ("longer" * 30)
    folder.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    done = whole(*REGRESSION, "-p", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(folder.iterdir())


def test_torchvision_leaves_nothing_in_the_temporary_folder() -> None:
    done = whole(*IMAGES, "-m", "no-such-network")
    assert done.returncode == 2
    assert "no-such-network" in done.stderr
    assert not list(Path(os.environ["TMPDIR"]).iterdir())


@pytest.mark.parametrize("files", [8, 12, 20, 40])
def test_few_open_files_are_enough_or_named(files: int) -> None:
    done = under(f"ulimit -n {files}", *REGRESSION, "-p", "2")
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode == 3
        assert "oo many open files" in done.stderr
        assert done.stderr.count("\n") == 1
    else:
        assert files >= 20


@pytest.mark.parametrize("how", ["missing", "file"])
def test_a_temporary_folder_that_is_none_is_no_traceback(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "none"
    if how == "file":
        folder.write_text("")
    monkeypatch.setenv("TMPDIR", str(folder))
    done = whole(*REGRESSION, "-p", "2")
    assert done.returncode == 0, done.stderr


def test_a_limit_on_memory_is_one_line() -> None:
    done = under("ulimit -v 5000000", "linreg", "-r", "3", "--dim", "25000", "-a", "topk")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1, done.stderr
    assert "no memory" in done.stderr


@pytest.mark.parametrize("command", [REGRESSION, ("--help",)], ids=["run", "help"])
def test_a_working_directory_that_is_gone_is_one_line(command: tuple[str, ...]) -> None:
    done = under('mkdir gone && cd gone && rmdir "$PWD"', *command)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the working directory cannot be used")
    assert done.stderr.count("\n") == 1
