"""A command that something is done to, and what is left when it has ended."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import COMMAND

_MARK = "FAULT_TRIAL"
_SHARED = Path("/dev/shm")
_END_SECONDS = 60


@dataclass
class Trial:
    """A command in a process group and a temporary folder of its own."""

    process: subprocess.Popen[str]
    mark: str
    shared: set[Path]
    """What was in /dev/shm before it."""

    def all(self) -> dict[int, str]:
        """Return pid and command line of every process that belongs to it."""
        return {pid: _command_line(pid) for pid in _pids() if self.mark in _environment(pid)}

    def server(self) -> int:
        """Wait for the server that starts pool processes, and return its pid."""
        found: int = self.wait_for(lambda: next(iter(_forked_by(self.process.pid)), 0))
        return found

    def pool(self, count: int = 1) -> list[int]:
        """Wait for so many processes that the server has started; return their pids."""
        server = self.server()

        def started() -> list[int]:
            children = [pid for pid in self.all() if _parent(pid) == server]
            return children if len(children) == count else []

        found: list[int] = self.wait_for(started)
        return found

    def ranks(self) -> dict[int, int]:
        """Return the pid of each process that torchrun has started, by rank."""
        own = (pid for pid in self.all() if _parent(pid) == self.process.pid)
        numbers = {pid: re.search(r"(?:^|\0)RANK=(\d+)", _environment(pid)) for pid in own}
        return {int(found[1]): pid for pid, found in numbers.items() if found}

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Wait until a condition holds while the command runs, and return its value."""

        def holds() -> Any:
            value = condition()
            assert value or self.process.poll() is None, self.process.communicate()
            return value

        return wait_for(holds)

    def handles_signals(self) -> bool:
        """Tell whether the command has installed its handlers."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (caught,) = re.findall(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the command, or to its process group as a terminal does."""
        (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self, seconds: float = _END_SECONDS) -> tuple[int, str, str]:
        """Wait for the end; return the exit code and the outputs, after some general checks."""
        out, err = self.process.communicate(timeout=seconds)
        assert "Traceback" not in err, err
        assert "internal error" not in err, err
        self.wait_until_gone(15)
        left = list(Path(os.environ["TMPDIR"]).rglob("*"))
        assert not left, left
        # Others on this machine may have some as well, for a moment.
        wait_for(lambda: set(_SHARED.iterdir()) <= self.shared, 15)
        return self.process.returncode, out, err

    def wait_until_gone(self, seconds: float) -> None:
        """Wait until none of its processes is left."""
        wait_for(lambda: not self.all(), seconds)


@contextlib.contextmanager
def trial(*arguments: str, command: Sequence[str] = COMMAND) -> Iterator[Trial]:
    """Start a command."""
    mark, shared = f"{_MARK}={uuid.uuid4().hex}", set(_SHARED.iterdir())
    process = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | dict([mark.split("=")]),
        start_new_session=True,
    )
    begun = Trial(process, mark, shared)
    try:
        yield begun
    finally:
        for pid in begun.all():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until a condition holds, and return its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    pytest.fail(f"nothing happened within {seconds} s")


def checkpointed() -> list[Path]:
    """Return the run folders with a checkpoint."""
    return sorted({path.parents[2] for path in Path().glob("runs/*/checkpoints/*/round-*.npz")})


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _status(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return ["Z", "0"]


def _parent(pid: int) -> int:
    return int(_status(pid)[1])


def _environment(pid: int) -> str:
    if _status(pid)[0] == "Z":
        return ""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return ""


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _forked_by(pid: int) -> list[int]:
    return [
        each for each in _pids() if _parent(each) == pid and "forkserver" in _command_line(each)
    ]
