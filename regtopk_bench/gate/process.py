"""A fresh process that runs and times cells, as the gate sees it from outside.

Nothing that happens in it can harm the gate: it may raise, crash, hang or print.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from typing import IO, Any

from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.gate.tree import Tree

PROTOCOL = 1
"""The protocol of `experiments/worker.py` that this side speaks."""

_WORKER = "regtopk_bench.experiments.worker"
_SHOWN = 300
"""Characters of what a process has said last, in a message."""

_START_SECONDS = 600.0
"""How long a process may take to import its packages and read its images."""
_END_SECONDS = 5.0


class ProcessError(RunError):
    """A process has not done what was asked for."""


class CellError(ProcessError):
    """A cell raised an error."""


class CrashError(ProcessError):
    """A process died."""


class HangError(ProcessError):
    """A process has not answered in time."""


class Process:
    """A worker process; close it, or use it as a context manager."""

    def __init__(self, tree: Tree, suite: dict[str, Any], timeout: float) -> None:
        """Start a process and give it a suite, without waiting for its answer.

        Args:
            tree: Where its code comes from.
            suite: The request that describes the suite.
            timeout: Seconds that it may take for a run of a cell.

        Raises:
            RunError: If no process can be started.
        """
        self._tree, self._timeout = tree, _START_SECONDS
        self._later_timeout = timeout
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._answers = b""
        try:
            self._process = subprocess.Popen(
                [tree.python, "-P", "-m", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                cwd=tree.folder,
                env=tree.environment(),
                start_new_session=True,  # Ctrl-C is for the gate
            )
        except OSError as error:
            self._said.close()
            raise RunError(f"cannot start {tree.python}: {error.strerror}") from error
        try:
            self.send(**suite)
        except BaseException:
            self.close()
            raise

    def suite(self) -> dict[str, Any]:
        """Return the answer to the suite: its cells, and the environment.

        Raises:
            ConfigurationError: If the suite cannot be made, or the tree has another gate.
            RunError: If the process died or hangs.
        """
        try:
            answer = self.receive()
        except CrashError as error:
            if b"No module named" in self._tail():
                raise ConfigurationError(
                    f"{self._tree.name} in {self._tree.where} has no gate, or lacks a package: "
                    f"{self._last_words()}"
                ) from error
            raise
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._tree.name}: {error}") from error
        self._timeout = self._later_timeout
        if answer["protocol"] != PROTOCOL:
            raise ConfigurationError(
                f"{self._tree.name} in {self._tree.where} has another version of the gate "
                f"(protocol {answer['protocol']}, here {PROTOCOL}): compare with a newer one"
            )
        return answer

    def send(self, **request: Any) -> None:
        """Send a request; that the process has died is noticed when the answer is received."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self, runs: int = 1) -> dict[str, Any]:
        """Return the next answer, which may take the time of so many runs.

        Raises:
            ConfigurationError: If the request was of no use.
            CellError: If doing it raised an error.
            CrashError: If the process died.
            HangError: If it did not answer in time.
        """
        answer = json.loads(self._line(runs * self._timeout))
        if "error" not in answer:
            return dict(answer)
        if answer["exit_code"] == ConfigurationError.exit_code:
            raise ConfigurationError(answer["error"])
        raise CellError(answer["error"])

    def _line(self, patience: float) -> bytes:
        assert self._process.stdout is not None
        until = time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._answers:
                if not selector.select(max(0.0, until - time.monotonic())):
                    if time.monotonic() >= until:
                        raise HangError(f"no answer within {patience:g} s")
                    continue
                part = os.read(self._process.stdout.fileno(), 2**16)
                if not part:
                    raise CrashError(self._death())
                self._answers += part
        line, _, self._answers = self._answers.partition(b"\n")
        return line

    def _death(self) -> str:
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return "the process closed its output"
        how = f"exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"killed by {signal.Signals(-code).name}"
        words = self._last_words()
        return f"the process died ({how})" + (f": {words}" if words else "")

    def _tail(self) -> bytes:
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - 2**14))
        return self._said.read()

    def _last_words(self) -> str:
        lines = self._tail().decode(errors="replace").strip().splitlines()
        return lines[-1][:_SHOWN] if lines else ""

    def close(self) -> None:
        """End the process, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        self._process.wait()
        self._said.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
