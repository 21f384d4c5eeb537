"""stdout and stderr that fail in one known way, whatever they are connected to.

When stdout cannot be written to, `UnwritableOutputError` is raised once, and the rest goes nowhere;
no other broken pipe or full disk can be mistaken for it. What stderr cannot take is dropped.
On a terminal, a word can be shown that disappears when anything else is written to either.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any, TextIO

from regtopk_bench.errors import RunError

_WIDEST = 1000
"""Columns of a terminal; help and progress fill their lines, and wider ones would take seconds."""


class UnwritableOutputError(RunError):
    """stdout cannot be written to.

    Attributes:
        reader_left: Whether that is because nobody reads on, as after `head`.
    """

    def __init__(self, error: OSError) -> None:
        """Say why."""
        super().__init__(f"cannot write to stdout: {error.strerror}")
        self.reader_left = error.errno == errno.EPIPE


_ERASE = b"\r\x1b[K"


class _Word:
    """A word on the last line of a terminal, there until anything else is written."""

    shown = False

    def erase(self) -> None:
        """Make room for what is written next."""
        if self.shown:
            self.shown = False
            with contextlib.suppress(OSError):
                os.write(2, _ERASE)


_word = _Word()


class _Stdout(io.FileIO):
    _failed = False

    def write(self, data: Any) -> int:
        _word.erase()
        if self._failed:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            raise UnwritableOutputError(error) from error


class _Stderr(io.FileIO):
    def write(self, data: Any) -> int:
        _word.erase()
        try:
            return super().write(data)
        except OSError:
            return len(data)


def prepare() -> None:
    """Replace stdout and stderr, and repair what a caller may have left unusable."""
    for descriptor in (0, 1, 2):
        try:  # the next file to be opened would take the place of a closed one
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 1 else os.O_RDWR)
    sys.stdout = _text(_Stdout(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Stderr(2, "w", closefd=False), sys.stderr)
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and (len(columns) > 9 or int(columns) > _WIDEST):
        os.environ["COLUMNS"] = str(_WIDEST)
    elif not (columns.isdecimal() and int(columns)):
        os.environ.pop("COLUMNS", None)


def say(word: str) -> None:
    """Show a word on a terminal until anything else is written, or `unsay` is called.

    Elsewhere, as in a log file, and on terminals that cannot erase it, it is not shown.
    """
    if sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb"):
        sys.stderr.write(word)
        sys.stderr.flush()
        _word.shown = True


def unsay() -> None:
    """Erase the word, if it is still there."""
    _word.erase()


def _text(raw: io.FileIO, before: TextIO | None) -> io.TextIOWrapper:
    """Return a text stream that prints ? for characters its encoding lacks."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else "utf-8",
        errors="replace",
        line_buffering=raw.isatty() or raw.fileno() == 2,
    )
