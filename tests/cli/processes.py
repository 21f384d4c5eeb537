"""Commands in processes of their own, and what is left of them when they are interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "regtopk_bench")


def torchrun(ranks: int, restarts: int = 0, program: Sequence[str] = COMMAND) -> tuple[str, ...]:
    """Return what starts the program in so many processes, and so often again."""
    started = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    how = (f"--nproc-per-node={ranks}", f"--max-restarts={restarts}")
    logs = "--log-dir=torchrun"  # which it leaves behind, empty, else among temporary files
    return (*started, *how, logs, *program[1:])


def whole(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@contextlib.contextmanager
def started(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a process group of its own, as a terminal does; nothing of it is left."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_checkpoints(process: subprocess.Popen[str], cells: int = 1) -> Path:
    """Wait until so many cells have a checkpoint; return the folder of the run."""
    deadline = time.monotonic() + 90
    while len({path.parent for path in Path().glob("runs/*/checkpoints/*/round-*.npz")}) < cells:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (folder,) = Path("runs").iterdir()
    return folder


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Press Ctrl-C, which a terminal sends to the whole group; return exit code and outputs."""
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def kill(process: subprocess.Popen[str]) -> None:
    """Kill the process that was started, and none of those that it has started."""
    process.kill()
    process.wait()


def outcomes(text: str) -> list[dict[str, Any]]:
    """Return the runs of a result in JSON, without what depends on when and where they were."""
    runs: list[dict[str, Any]] = json.loads(text)["runs"]
    for run in runs:
        del run["execution"], run["environments"]
    return runs
