"""How a task travels to another process: as bytes, and as descriptors of shared memory.

A large tensor is not copied into every process but mapped, and copied only where it is written to.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import sys
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.shared import SharedBytes, home, in_shared_memory

_MAPPED_BYTES = 2**20


@dataclass(frozen=True)
class Packed:
    """An object on its way to processes being started; several may receive it."""

    content: bytes
    memory: list[_Descriptor]

    def unpack(self) -> Any:
        """Return the object; call it once, in the receiving process."""
        unpacked = _Unpickler(io.BytesIO(self.content), self.memory).load()
        for descriptor in self.memory:
            os.close(descriptor.memory)
        return unpacked


class _Descriptor:
    """Shared bytes: themselves where they come from, their descriptor where they go."""

    def __init__(self, memory: Any, size: int) -> None:
        self.memory, self.size = memory, size

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (reduction.DupFd(self.memory.fd), self.size)


def _received(fd: Any, size: int) -> _Descriptor:
    return _Descriptor(fd.detach(), size)


@dataclass(frozen=True)
class _OwnCopy:
    """Shared bytes that the receiver may write to without anybody else noticing."""

    memory: SharedBytes


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.sent: list[SharedBytes] = []

    def persistent_id(self, value: Any) -> tuple[int, bool] | None:
        if isinstance(value, SharedBytes):
            return self._place(value), False
        return (self._place(value.memory), True) if isinstance(value, _OwnCopy) else None

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or not _can_be_mapped(value):
            return NotImplemented
        memory = home(in_shared_memory(value))
        assert memory is not None
        return _mapped, (_OwnCopy(memory), value.dtype, tuple(value.shape))

    def _place(self, memory: SharedBytes) -> int:
        for place, each in enumerate(self.sent):
            if each is memory:
                return place
        self.sent.append(memory)
        return len(self.sent) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, memory: list[_Descriptor]) -> None:
        super().__init__(file)
        self._memory = memory

    def persistent_load(self, place: tuple[int, bool]) -> SharedBytes:
        number, copy_on_write = place
        sent = self._memory[number]
        return SharedBytes.mapped(sent.memory, sent.size, copy_on_write=copy_on_write)


def _can_be_mapped(tensor: Tensor) -> bool:
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.is_contiguous()
        and not tensor.requires_grad
        and (tensor.nbytes >= _MAPPED_BYTES or home(tensor) is not None)
    )


def _mapped(memory: SharedBytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return memory.tensor(dtype, shape)


def pack(task: object) -> Packed:
    """Prepare an object for its way.

    Raises:
        ConfigurationError: If it cannot be pickled.
        RunError: If there is no memory for its tensors.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    try:
        pickler.dump(task)
    except (OSError, MemoryError) as error:
        raise refused(error) from error
    except Exception as error:  # a foreign class may raise anything
        raise unsendable(str(error)) from error
    return Packed(file.getvalue(), [_Descriptor(each, len(each)) for each in pickler.sent])


def sendable(task: object) -> bool:
    """Tell whether another process could unpack an object.

    It could not if the object cannot be pickled, or needs what was defined in an interactive
    session, as in a notebook: other processes have no script to import it from.
    """
    try:
        content = pack(task).content
    except ConfigurationError:
        return False
    main = sys.modules["__main__"]
    has_script = getattr(main, "__file__", None) or getattr(main, "__spec__", None)
    return bool(has_script) or b"__main__" not in content


def refused(error: OSError | MemoryError) -> RunError:
    """Describe why this machine lets no process be started."""
    reason = str(error) or "no memory left"
    if isinstance(error, OSError):
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return RunError("cannot start another process: too many open files; raise ulimit -n")
        reason = error.strerror or reason
    return RunError(f"cannot start another process ({reason}): do with one, --processes 1 --jobs 1")


def unsendable(reason: str) -> ConfigurationError:
    """Describe an object that cannot be sent."""
    return ConfigurationError(
        f"the workload or sparsifier cannot be sent to another process ({reason}); "
        "define what it consists of at the top level of a module, or use one process"
    )
