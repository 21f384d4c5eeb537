"""An algorithm outside the package: brought to where a test runs, and forgotten afterwards."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

from regtopk_bench import sparsify
from tests.cli import outside_threshold

NAME = "outside_threshold.Threshold"


def bring(folder: Path) -> Path:
    """Put the module into a folder; return its path there."""
    path = folder / Path(outside_threshold.__file__).name
    shutil.copy(outside_threshold.__file__, path)
    importlib.invalidate_caches()
    return path


def slow(seconds: float) -> dict[str, str]:
    """Return the environment in which each of its rounds takes longer, to be interrupted in."""
    return {outside_threshold.PAUSE: str(seconds)}


def forget(*others: str) -> None:
    """Unload the module, and others that a test has written."""
    for name in ("outside_threshold", *others):
        sys.modules.pop(name, None)
    sparsify.sparsifier_class.cache_clear()
