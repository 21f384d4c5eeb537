"""Signals that stop a run: Ctrl-C, and what schedulers and closed terminals send instead."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from regtopk_bench.interrupts import STOPPING


class StopRequested(KeyboardInterrupt):
    """A signal has asked the program to stop.

    After Python's own KeyboardInterrupt has left an `exec` of text, as while a dataclass is made,
    the interpreter ends with the signal's code, whoever has caught it and whatever is said since.
    """


def stop_like_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP do what Ctrl-C does, unless they are ignored, as under `nohup`."""
    for each in STOPPING:
        if signal.getsignal(each) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(each, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    # What is half made when it is interrupted may fail again when it is thrown away.
    sys.unraisablehook = lambda unraisable: None
    raise StopRequested


@contextlib.contextmanager
def recognised() -> Iterator[None]:
    """Take an error that a request to stop has caused for what it is.

    Python makes a RuntimeError of whatever is raised while a class names its attributes, as it may
    be while packages are imported.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise StopRequested from None
        raise


def ignore() -> None:
    """Ignore them from now on: the exit code is known, and Python would end with the signal's."""
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)
