"""Where the time of a round goes."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from regtopk_bench.trace import PHASES


class Stopwatch:
    """Adds up seconds by phase.

    Attributes:
        seconds: Seconds so far, by phase.
    """

    def __init__(self, device: torch.device) -> None:
        """Time the work on a device; the clock is read once the device has finished."""
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._clock = _clock_of(device)
        self._last = 0.0

    def start(self) -> None:
        """Begin a round; time between two rounds does not count."""
        self._last = self._clock()

    def lap(self, phase: str) -> None:
        """Count the time since the last call as part of a phase."""
        now = self._clock()
        self.seconds[phase] += now - self._last
        self._last = now


def _clock_of(device: torch.device) -> Callable[[], float]:
    if device.type != "cuda":
        return time.perf_counter

    def read() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return read
