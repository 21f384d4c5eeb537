"""Rows of all workers side by side in shared memory, written and read in place.

Two slots alternate: while slow processes still read one, fast ones write their next rows
into the other, so one barrier per call is enough.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import reduction
from typing import Any

import torch
from torch import Tensor

_SLOTS = 2
_ALIGNMENT = 64

Signature = tuple[tuple[torch.dtype, torch.Size], ...]


class SharedBytes:
    """Anonymous shared memory that can be sent to a process being started.

    It has no name in the file system, so that nothing is left behind however a process
    ends, and takes memory only where it is written to.
    """

    def __init__(self, size: int, fd: int | None = None) -> None:
        """Make `size` bytes, or map those behind an open file descriptor."""
        if fd is None:
            fd = _anonymous_file()
            os.ftruncate(fd, size)
        self.size, self._fd = size, fd
        self.tensor = torch.frombuffer(mmap.mmap(fd, size), dtype=torch.uint8)

    def close(self) -> None:
        """Give the file descriptor back; the memory goes with its last mapping."""
        os.close(self._fd)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the descriptor, not the bytes."""
        return _attach, (self.size, reduction.DupFd(self._fd))


def _attach(size: int, fd: Any) -> SharedBytes:
    return SharedBytes(size, fd.detach())


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("regtopk-bench")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@dataclass
class Arena:
    """The rows of all workers, seen from the process that hosts some of them."""

    memory: SharedBytes
    total: int
    """Number of workers in all processes, N."""
    mine: range
    """The workers hosted here."""

    _slot: int = 0
    _views: dict[tuple[int, Signature], tuple[Tensor, ...]] = field(default_factory=dict)

    @staticmethod
    def allocate(workers: int, dim: int, itemsize: int) -> SharedBytes:
        """Return memory for the longest message, all J indices and values, or a dense row."""
        row = dim * (torch.int64.itemsize + itemsize) + 8 * _ALIGNMENT
        return SharedBytes(_SLOTS * workers * (-(-row // _ALIGNMENT) * _ALIGNMENT))

    def all_gather(self, rows: tuple[Tensor, ...], barrier: Callable[[], None]) -> Any:
        """Write our rows, wait until all have written theirs, and return them all."""
        self._slot = (self._slot + 1) % _SLOTS
        signature = tuple((row.dtype, row.shape[1:]) for row in rows)
        views = self._views.get((self._slot, signature))
        if views is None:
            views = self._views[self._slot, signature] = self._lay_out(signature)
        for view, row in zip(views, rows, strict=True):
            view[self.mine.start : self.mine.stop] = row
        barrier()
        return views

    def _lay_out(self, signature: Signature) -> tuple[Tensor, ...]:
        slot = self.memory.tensor.view(_SLOTS, self.total, -1)[self._slot]
        views, start = [], 0
        for dtype, tail in signature:
            size = tail.numel() * dtype.itemsize
            if start + size > slot.shape[1]:
                raise ValueError("rows are longer than a message with every entry")
            views.append(slot[:, start : start + size].view(dtype).unflatten(1, tail or (1,)))
            if not tail:
                views[-1] = views[-1][:, 0]
            start += -(-size // _ALIGNMENT) * _ALIGNMENT
        return tuple(views)
