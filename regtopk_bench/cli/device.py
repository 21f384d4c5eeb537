"""Where a command computes, and what if there is no memory or the machine is busy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from regtopk_bench.cli.invocation import Invocation, is_out_of_memory
from regtopk_bench.errors import RegtopkBenchError, RunError

_BUSY_LOAD = 0.5


def note_if_busy(invocation: Invocation) -> None:
    """Say so if other programs would be measured as well."""
    if os.getloadavg()[0] > _BUSY_LOAD:
        invocation.note(
            f"the machine is already busy (load {os.getloadavg()[0]:.1f}): "
            "times will be too long; wait, or stop other programs"
        )


def choose_device(wanted: str) -> str:
    """Return "cpu" or "cuda"; "auto" takes CUDA where there is any.

    Raises:
        RunError: If the requested device is missing.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RunError("PyTorch sees no CUDA device here: use --device cpu")
    return wanted


@contextlib.contextmanager
def memory_for(what: str, advice: str) -> Iterator[None]:
    """Turn a failure to allocate memory into a RunError that says what it was for."""
    try:
        yield
    except RegtopkBenchError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise RunError(f"no memory for {what}: {advice}") from error
        raise
