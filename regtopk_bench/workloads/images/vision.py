"""torchvision, imported when it is needed."""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from typing import Any

from regtopk_bench.extras import needed_by

_CACHE = "TORCHINDUCTOR_CACHE_DIR"


def torchvision(module: str, what: str) -> Any:
    """Return a module of torchvision by its name, as "models".

    torchvision imports PyTorch's compiler, which at once makes a folder in the temporary one, for
    what nobody may ever compile. So that none is left, it is told of one that is there.

    Args:
        module: Its name.
        what: What needs it, in an error.

    Raises:
        MissingPackageError: If torchvision is not installed.
        RunError: If it was made for another PyTorch.
    """
    with needed_by(what):
        if _CACHE in os.environ:
            return import_module(f"torchvision.{module}")
        os.environ[_CACHE] = tempfile.gettempdir()
        try:
            return import_module(f"torchvision.{module}")
        finally:
            del os.environ[_CACHE]
