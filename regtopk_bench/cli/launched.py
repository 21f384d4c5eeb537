"""A process that `torchrun` has started: who of several speaks, and who may be started again.

Nothing here imports PyTorch, nor anything else that is slow to import.
"""

from __future__ import annotations

import contextlib
import os
import sys

_STDERR = 2
_kept: list[int] = []
"""stderr of a process that is silent, if it is."""


def launch() -> str | None:
    """Return what identifies the `torchrun` that has started this process, and may do so again."""
    run = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if run is None else f"{run} on {os.uname().nodename}, process {os.getppid()}"


def starts_again() -> bool:
    """Tell whether `torchrun` starts this process again should it fail now."""
    left = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))
    return launch() is not None and left > restarts()


def restarts() -> int:
    """Return how often `torchrun` has started this process again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def be_one_of_several() -> None:
    """Leave it to the first of the processes that `torchrun` has started to talk to people."""
    if launch() is None:
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # PyTorch's own words about sockets
    if os.environ.get("RANK", "0") != "0" and "--debug" not in sys.argv:
        with contextlib.suppress(OSError):  # it is closed
            _kept.append(os.dup(_STDERR))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (1, _STDERR):
            os.dup2(nowhere, descriptor)


def speak() -> None:
    """Let what this process says from now on be seen: the first cannot tell any more."""
    for descriptor in _kept:
        os.dup2(descriptor, _STDERR)
