"""Packages that are installed on request, and how to say that one is missing or does not fit."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator

from regtopk_bench.misuse import MissingPackageError, UnfitPackageError

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
    """Say what to install where an import fails because of an optional package.

    Args:
        what: What needs the package: "the plot", "CIFAR-10".

    Raises:
        MissingPackageError: If it is not there.
        UnfitPackageError: If it is a torchvision that was made for another PyTorch.

    Any other failure of an import passes as it is, as of a package that is there and lacks a part.
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
    except (AttributeError, RuntimeError) as error:  # as "operator torchvision::nms does not exist"
        if "torchvision" not in str(error):
            raise
        reason = " ".join(str(error).split())
        raise UnfitPackageError(
            f"{what} needs torchvision, and the one installed does not fit PyTorch ({reason}): "
            "pip install --upgrade torch torchvision"
        ) from error


def installed(package: str) -> bool:
    """Tell whether a package is there, without importing it."""
    return importlib.util.find_spec(package) is not None
