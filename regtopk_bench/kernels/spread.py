"""Work shared by threads that stay awake between steps."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def spread(function: Callable[[int], T], pieces: int) -> list[T]:
    """Map over range(pieces), one thread each; the calling one, already awake, takes the first."""
    futures = [_executor().submit(function, piece) for piece in range(1, pieces)]
    return [function(0), *(future.result() for future in futures)]


@functools.cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="regtopk-bench")
