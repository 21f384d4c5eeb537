"""Packages that are installed on request, and how to say that one is missing."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator

from regtopk_bench.misuse import MissingPackageError

_INSTALLED_BY = {
    "PIL": "'regtopk-bench[images]'",
    "matplotlib": "'regtopk-bench[plot]'",
    "numba": "'regtopk-bench[fast]'",
    "pandas": "pandas",
    "torchvision": "'regtopk-bench[images]'",
}
"""What pip has to install for each."""

_NAMES = {"PIL": "Pillow", "matplotlib": "Matplotlib", "numba": "Numba"}


@contextlib.contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Say what to install where an import fails because an optional package is not there.

    Args:
        what: What needs the package: "the plot", "CIFAR-10".

    Raises:
        MissingPackageError: If so. Any other failure of an import passes as it is, as of a package
            that is there and lacks a part.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name or ""
        if package not in _INSTALLED_BY:
            raise
        raise MissingPackageError(
            f"{what} needs {_NAMES.get(package, package)}: pip install {_INSTALLED_BY[package]}"
        ) from error


def installed(package: str) -> bool:
    """Tell whether a package is there, without importing it."""
    return importlib.util.find_spec(package) is not None
