"""Where a command computes, and what if there is no memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from regtopk_bench.cli.invocation import is_out_of_memory
from regtopk_bench.errors import RegtopkBenchError, RunError


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
