"""Files that are written completely or not at all, and read only if they can be read to an end."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path


def content_of(path: Path, most: int | None = None) -> bytes:
    """Return the content of a regular file: a pipe may never speak, and a device never end.

    Args:
        path: The file.
        most: The bytes that it may have.

    Raises:
        OSError: If it cannot be read, is of another kind, or is larger; `strerror` says which.
    """
    try:
        opened = io.FileIO(path, opener=_without_waiting)
    except ValueError as error:  # a NUL byte in the name
        raise OSError(errno.EINVAL, str(error)) from error
    with io.BufferedReader(opened) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        content = file.read(-1 if most is None else most + 1)
    if most is not None and len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    return content


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[BufferedRandom]:
    """Open a file to write and read; it takes its name only once all of it is on disk."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
