"""Where a command computes."""

from __future__ import annotations

import torch

from regtopk_bench.errors import RunError


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
