"""The base of this package's errors, and those about what was asked for.

They know nothing of runs, so that what runs are made of can raise them; `errors` has them all.
"""

from __future__ import annotations

from typing import ClassVar


class RegtopkBenchError(Exception):
    """Base class of all errors raised on purpose.

    Attributes:
        exit_code: Process exit code of the command that ends with this error.
    """

    exit_code: ClassVar[int] = 3


class ConfigurationError(RegtopkBenchError, ValueError):
    """A setting, an argument or a file given by the user cannot be used."""

    exit_code = 2


class MissingPackageError(ConfigurationError):
    """What is asked for needs an optional package that is not installed; the text says which."""


class UnfitPackageError(RegtopkBenchError):
    """An optional package is installed, and does not fit the others; the text says what to do."""
