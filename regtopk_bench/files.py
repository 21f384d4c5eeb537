"""Files that are written completely or not at all, and read only if they can be read to an end."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path
from typing import TypeGuard

_DESCRIPTORS = Path("/proc/self/fd")
"""Where a file without a name can be given one; absent in some containers."""


def opened(path: Path) -> io.BufferedReader:
    """Open a regular file to read: a pipe may never speak, and a device never end.

    Raises:
        OSError: If it cannot be opened, or is of another kind; `strerror` says which.
    """
    try:
        file: io.BufferedReader = io.BufferedReader(io.FileIO(path, opener=_without_waiting))
    except ValueError as error:  # a NUL byte in the name
        raise OSError(errno.EINVAL, str(error)) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def content_of(path: Path, most: int | None = None) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        most: The bytes that it may have.

    Raises:
        OSError: If it cannot be read, is of another kind, or is larger; `strerror` says which.
    """
    with opened(path) as file:
        content = file.read(-1 if most is None else most + 1)
    if most is not None and len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    return content


def system_refused(error: Exception) -> TypeGuard[OSError]:
    """Tell whether it was the system that could not read a file, rather than that it is damaged.

    Readers raise OSError for damage too: without a number, or with that of a place before the
    file's beginning, which is what `opened` says of a file of another kind.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[BufferedRandom]:
    """Open a file to write and read; it takes its name only once all of it is on disk.

    Where the file system allows it, the file has no name until then, so that nothing is left of it
    if the process is killed. A file of that name is replaced.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    unfinished = f".{path.name}.{os.getpid()}"
    try:
        with _created(folder, unfinished) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _name(file, path.name, unfinished, folder)
        with contextlib.suppress(OSError):  # some file systems cannot do it for folders
            os.fsync(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished, dir_fd=folder)
        raise
    finally:
        os.close(folder)


def remove_unfinished(file: Path) -> None:
    """Remove what processes that were killed while writing a file have left of it.

    Nobody else may be writing it.
    """
    for path in file.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(file.name)}\.\d+", path.name):
            path.unlink(missing_ok=True)


def _created(folder: int, name: str) -> BufferedRandom:
    """Create a file without a name in a folder, or with this one if that is impossible."""
    if hasattr(os, "O_TMPFILE") and _DESCRIPTORS.exists():
        with contextlib.suppress(OSError):  # not every file system can; other causes recur below
            return _file(os.open(".", os.O_TMPFILE | os.O_RDWR, 0o666, dir_fd=folder))
    return _file(os.open(name, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o666, dir_fd=folder))


def _file(descriptor: int) -> BufferedRandom:
    return os.fdopen(descriptor, "w+b")


def _name(file: BufferedRandom, name: str, unfinished: str, folder: int) -> None:
    """Give a file its name."""
    if os.fstat(file.fileno()).st_nlink == 0:
        try:
            _link(file, name, folder)
            return
        except FileExistsError:  # a link replaces nothing
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished, dir_fd=folder)
            _link(file, unfinished, folder)
    os.replace(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)


def _link(file: BufferedRandom, name: str, folder: int) -> None:
    # Python follows the symbolic link to the file only if folders are given as well.
    os.link(_DESCRIPTORS / str(file.fileno()), name, src_dir_fd=folder, dst_dir_fd=folder)
