"""Packages that are installed on request, and how to say that one is missing."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator

from regtopk_bench.errors import MissingPackageError

_EXTRA_OF = {"PIL": "images", "matplotlib": "plot", "numba": "fast", "torchvision": "images"}
_NAMES = {"PIL": "Pillow", "matplotlib": "Matplotlib", "numba": "Numba"}


@contextlib.contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Say what to install where an import fails because an optional package is not there.

    Args:
        what: What needs the package: "the plot", "CIFAR-10".

    Raises:
        MissingPackageError: If so. Any other failure of an import passes as it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA_OF:
            raise
        raise MissingPackageError(
            f"{what} needs {_NAMES.get(package, package)}: "
            f"pip install 'regtopk-bench[{_EXTRA_OF[package]}]'"
        ) from error


def installed(package: str) -> bool:
    """Tell whether a package is there, without importing it."""
    return importlib.util.find_spec(package) is not None
