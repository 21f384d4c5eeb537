"""Clocks: seconds that a call takes, on the CPU or on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch

_FLUSHED_BYTES = 2**29


class Clock(Protocol):
    """Measures calls."""

    def seconds(self, call: Callable[[], object]) -> float:
        """Return the seconds that a call takes."""


class CpuClock:
    """Wall-clock time."""

    def seconds(self, call: Callable[[], object]) -> float:
        """Return the seconds that a call takes."""
        started = time.perf_counter()
        call()
        return time.perf_counter() - started


class CudaClock:
    """Time between two events on the device, whose L2 cache is flushed before each call."""

    def __init__(self) -> None:
        self._flushed = torch.empty(_FLUSHED_BYTES, dtype=torch.uint8, device="cuda")
        self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def seconds(self, call: Callable[[], object]) -> float:
        """Return the seconds that a call takes on the device."""
        self._flushed.zero_()
        torch.cuda.synchronize()
        self._start.record()
        call()
        self._end.record()
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) / 1e3
