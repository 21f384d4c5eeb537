"""The signals that ask a program to stop, and steps that they must not tear apart."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, and what schedulers and closed terminals send instead."""


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Finish a few steps that belong together before such a signal is handled."""
    if threading.current_thread() is not threading.main_thread():  # which handles them
        yield
        return
    asked: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {each: signal.getsignal(each) for each in STOPPING}
    for each, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(each, remember)
    try:
        yield
    finally:
        for each, handler in before.items():
            if handler not in (signal.SIG_IGN, None):
                signal.signal(each, handler)
    if asked:
        signal.raise_signal(asked[0])
