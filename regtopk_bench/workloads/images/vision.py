"""torchvision, imported when it is needed."""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from typing import Any

_CACHE = "TORCHINDUCTOR_CACHE_DIR"


def torchvision(module: str) -> Any:
    """Return a module of torchvision by its name, as "models".

    torchvision imports PyTorch's compiler, which at once makes a folder in the temporary one, for
    what nobody may ever compile. So that none is left, it is told of one that is there.
    """
    if _CACHE in os.environ:
        return import_module(f"torchvision.{module}")
    os.environ[_CACHE] = tempfile.gettempdir()
    try:
        return import_module(f"torchvision.{module}")
    finally:
        del os.environ[_CACHE]
