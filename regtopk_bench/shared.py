"""Memory that several processes map. It has no name, so nothing is left however they end.

It does not depend on the size of `/dev/shm`, which is small in many containers.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import weakref

import torch
from torch import Tensor


class SharedBytes(mmap.mmap):
    """Bytes that can be mapped by other processes; they take memory only once written to.

    Attributes:
        fd: What other processes map; closed with the last use of the bytes.
    """

    fd: int

    def __new__(cls, size: int) -> SharedBytes:
        """Allocate `size` bytes, at least 1.

        Raises:
            OSError: If there is no memory, or no file descriptor left.
        """
        fd = _anonymous_file()
        try:
            os.ftruncate(fd, size)
            made = super().__new__(cls, fd, size)
        except BaseException:
            os.close(fd)
            raise
        made.fd = fd
        return made

    @classmethod
    def mapped(cls, fd: int, size: int, *, copy_on_write: bool) -> SharedBytes:
        """Map what another process has allocated.

        Args:
            fd: Its `fd`, as this process has received it.
            size: How many bytes.
            copy_on_write: Whether what is written here stays invisible to others.
        """
        access = mmap.ACCESS_COPY if copy_on_write else mmap.ACCESS_WRITE
        made = super().__new__(cls, fd, size, access=access)
        made.fd = os.dup(fd)
        return made

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)

    def tensor(self, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor on the first of these bytes, which keeps them alive."""
        made = torch.frombuffer(self, dtype=dtype, count=math.prod(shape)).view(shape)
        _homes[made.data_ptr()] = self
        return made


_homes: weakref.WeakValueDictionary[int, SharedBytes] = weakref.WeakValueDictionary()
"""The bytes that a tensor lies on, by its address."""


def home(tensor: Tensor) -> SharedBytes | None:
    """Return the shared bytes that a contiguous tensor lies on, if it does."""
    found = _homes.get(tensor.data_ptr())
    return found if found is not None and tensor.nbytes <= len(found) else None


def shared_empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return an uninitialised tensor, of at least one entry, in memory that can be shared."""
    return SharedBytes(math.prod(shape) * dtype.itemsize).tensor(dtype, shape)


def in_shared_memory(tensor: Tensor) -> Tensor:
    """Return the tensor itself if other processes can map its memory, else a copy that can be.

    A copy, because moving the tensor's own memory would leave NumPy views of it dangling.
    """
    if home(tensor) is not None or not tensor.numel():
        return tensor
    return shared_empty(tuple(tensor.shape), tensor.dtype).copy_(tensor)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("regtopk-bench")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
