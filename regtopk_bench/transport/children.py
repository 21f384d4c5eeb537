"""Processes started from a clean server process, so that they inherit neither threads nor locks.

The server imports PyTorch once for all of them. Nothing they use has a name in the file system, so
nothing is left however they end, and neither a small `/dev/shm` nor a long path of the temporary
folder matters. They ignore the signals that stop a run, which are their opener's to handle, and end
when it does.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pickle
import shutil
import signal
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import connection as connections
from multiprocessing import forkserver, process, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from regtopk_bench.errors import ConfigurationError, RegtopkBenchError, WorkerDiedError
from regtopk_bench.interrupts import STOPPING
from regtopk_bench.transport.packing import Packed, pack, refused, unsendable

Task = Callable[[int, Connection], object]
"""What a process does, given its number and its end of a connection with the process that has
started it."""

POLL_SECONDS = 0.2
"""How often a waiting process looks whether the others are still there."""

_PRELOADED = ["regtopk_bench.training", "regtopk_bench.kernels.warm_up"]
_END_SECONDS = 2.0
_SOCKET_PATH = 60  # leaves room for a name in the hundred or so bytes of a socket's address
_UNGUARDED = 79
"""The exit code of a process that would start others while it imports the program's script."""


class Child:
    """A process that this one has started.

    Attributes:
        who: Names it in messages: "process 1 of the pool, hosting workers 4 to 7".
        advice: What to do if it fails, in messages.
        connection: Connects it with this process; at its end when the process has ended.
    """

    def __init__(self, who: str, advice: str, process: Any, connection: Connection) -> None:
        self.who, self.advice, self.connection = who, advice, connection
        self._process, self._pid = process, process.pid

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until it knows its task.

        Raises:
            WorkerDiedError: If it ends before, or takes too long.
            ConfigurationError: If it cannot read its task, or starts processes before it does.
            RunError: If it has no room for it.
        """
        waited = 0.0
        try:
            while not self.connection.poll(POLL_SECONDS):
                waited += POLL_SECONDS
                if waited >= seconds:
                    raise self._lost(f"did not start within {seconds:g} s")
            error = self.connection.recv()
        except (EOFError, OSError):
            raise self.death("ended while being started") from None
        if error is not None:
            raise error

    def death(self, how: str = "died") -> RegtopkBenchError:
        """Describe an end without an error."""
        self._process.join(_END_SECONDS)
        code = self._process.exitcode
        if code == _UNGUARDED:
            return ConfigurationError(
                "other processes import the script that starts them, and this one would start "
                'processes again: put what it does below if __name__ == "__main__":, or use one '
                "process, processes=1"
            )
        cause = f"exit code {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                cause = f"killed by {signal.Signals(-code).name}"
        return self._lost(f"{how} ({cause})")

    def silence(self, seconds: float) -> WorkerDiedError:
        """Describe a process that has not answered for so long."""
        return self._lost(
            f"has not answered for {seconds:g} s: process {self._pid} hangs or was stopped, or "
            "--timeout is too short for a round"
        )

    def _lost(self, how: str) -> WorkerDiedError:
        return WorkerDiedError(f"{self.who}, {how}", self.advice)

    def has_ended(self, seconds: float) -> bool:
        """Wait until its end of the connection is closed, which is when it ends."""
        with contextlib.suppress(EOFError, OSError):
            while self.connection.poll(seconds):
                if not os.read(self.connection.fileno(), 2**16):
                    return True
            return False
        return True

    def end(self, seconds: float) -> None:
        """Let it end by itself for so long, then kill it."""
        if not self.has_ended(seconds):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self.connection.close()
        self._process.join(_END_SECONDS)
        if self._process.is_alive():  # its end is reported by the server, which was stopped
            _kill_server()
            self._process.join(_END_SECONDS)
        with contextlib.suppress(ValueError):
            self._process.close()


class Launcher:
    """Starts processes that share a task."""

    def __init__(self, task: Task, seconds: float, advice: str) -> None:
        """Prepare to start processes.

        Args:
            task: What they do; it must be picklable. Large tensors are not copied into every
                process but mapped, and copied only where they are written to.
            seconds: How long a process may take to start.
            advice: What to do if one fails, in messages.

        Raises:
            ConfigurationError: If the task cannot be sent to another process.
            RunError: If there is no memory for its tensors.
        """
        end_if_imported()
        self._packed, self._seconds, self._advice = pack(task), seconds, advice

    def start(self, number: int, who: str) -> Child:
        """Start a process; it is not ready before `Child.wait_until_ready` returns.

        Raises:
            WorkerDiedError: If it or the server ends while being started.
            RunError: If no process can be started here.
        """
        context: Any = multiprocessing.get_context(_method())
        try:
            with _quietly():
                if _method() == "forkserver":
                    _ensure_server()
                ours, theirs = context.Pipe()
        except OSError as error:
            raise refused(error) from error
        started = context.Process(
            target=_enter, args=(self._packed, number, theirs), name=who, daemon=True
        )
        watchdog = threading.Timer(self._seconds, _kill_server)
        watchdog.daemon = True
        watchdog.start()
        try:
            with _quietly(), _no_other_server(), theirs:
                started.start()
        except (ConnectionError, EOFError) as error:
            ours.close()
            slow = not watchdog.is_alive()
            how = (
                f"did not start within {self._seconds:g} s" if slow else "ended while being started"
            )
            raise WorkerDiedError(f"{who}, {how} ({error})", self._advice) from error
        except OSError as error:
            ours.close()
            raise refused(error) from error
        finally:
            watchdog.cancel()
        return Child(who, self._advice, started, ours)


def _method() -> str:
    methods = multiprocessing.get_all_start_methods()
    return "forkserver" if "forkserver" in methods else "spawn"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Silence Python about its resource tracker: if that was killed, nothing of ours is lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# The server. Python gives its socket a name in the temporary folder and removes it when the program
# ends, if that is not killed. We remove it at once and reach the socket by its descriptor.


def _ensure_server() -> None:
    """Start the server, unless it is running."""
    server: Any = forkserver._forkserver
    config: Any = process.current_process()._config  # type: ignore[attr-defined]
    before, ours = server._forkserver_pid, config.get("tempdir")
    resource_tracker.ensure_running()  # by itself: it would unblock the signals
    held, folder = signal.pthread_sigmask(signal.SIG_BLOCK, ()), None
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # which the server inherits
        folder = tempfile.mkdtemp(prefix="regtopk-bench-", dir=_short_folder())
        config["tempdir"] = folder
        forkserver.set_forkserver_preload(_PRELOADED)
        forkserver.ensure_running()
        if server._forkserver_pid != before:
            if Path("/proc/self/fd").exists():
                socket = os.open(server._forkserver_address, os.O_PATH)
                server._forkserver_address = f"/proc/self/fd/{socket}"
            if before is None:
                atexit.register(_kill_server)
    finally:
        config["tempdir"] = ours
        if folder and Path("/proc/self/fd").exists():
            shutil.rmtree(folder, ignore_errors=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextlib.contextmanager
def _no_other_server() -> Iterator[None]:
    """Keep Python from starting a server by itself where ours has just ended.

    It would be one with a name in the temporary folder, and stopped by what stops a run.
    """
    server: Any = forkserver._forkserver
    server.ensure_running = lambda: None
    try:
        yield
    finally:
        del server.ensure_running


def _short_folder() -> str:
    """Return a temporary folder whose path is short enough for that of a socket."""
    wanted = tempfile.gettempdir()
    return wanted if len(os.fsencode(wanted)) <= _SOCKET_PATH else "/tmp"


def _kill_server() -> None:
    """End the server for good; processes that it has started go on."""
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# What a started process does.


def end_if_imported() -> None:
    """End this process if it is one that is being started and still imports the script.

    Whatever would be computed now is not what it was started for: the script lacks a guard, which
    is what `Child.death` says.
    """
    if getattr(process.current_process(), "_inheriting", False):
        os._exit(_UNGUARDED)


def _enter(packed: Packed, number: int, connection: Connection) -> None:
    """Do the task, and end."""
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        task = packed.unpack()
    except (OSError, MemoryError) as error:
        connection.send(refused(error))
        os._exit(1)
    except Exception as error:  # a foreign class may raise anything
        reason = f"{type(error).__name__}: {error}"
        connection.send(unsendable(reason))
        os._exit(1)
    with contextlib.suppress(OSError):  # the parent has ended
        connection.send(None)
        task(number, connection)
        os._exit(0)
    os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connections.wait([parent.sentinel])
    os._exit(1)


def picklable(error: Exception) -> Exception:
    """Return an error that can be sent to another process, with its traceback as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # pickling a foreign exception may raise anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
