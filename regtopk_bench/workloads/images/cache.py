"""Pixels on disk: written once, a few images at a time, and mapped instead of held in memory."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import math
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.errors import RunError
from regtopk_bench.files import written_atomically
from regtopk_bench.image_cache import is_own
from regtopk_bench.memory import check_room

Pixels = NDArray[np.uint8]

_CHUNK = 500
_CHUNK_BYTES = 2**27
_COPIES = 3
"""Of an image, in memory at least while it is resized and written."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def keeping(what: str, folder: Path) -> Iterator[None]:
    """Say of errors of the system that they keep something from being kept in the cache.

    Raises:
        RunError: In place of OSError.
    """
    try:
        yield
    except OSError as error:
        room = "make room or " if error.errno in _FULL else ""
        raise RunError(
            f"cannot keep {what} in {folder}: {error.strerror or error}; {room}give another --cache"
        ) from error


def own_folder(folder: Path) -> None:
    """Make a folder of the cache unless it exists.

    Raises:
        OSError: If it cannot be made, is a link, or could be someone else's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not is_own(folder):
        raise PermissionError(errno.EPERM, "it is a link or belongs to someone else", str(folder))


def cached(
    file: Path,
    shape: tuple[int, int, int, int],
    image: Callable[[int], Pixels],
    report: Callable[[int], None] | None = None,
) -> Pixels:
    """Return images from a file, which is written first if it is missing or damaged.

    Args:
        file: Where the images are kept, an `.npy` file; its checksum is kept next to it.
        shape: (N, 3, H, W).
        image: Makes the image at a position, (3, H, W); called from several threads.
        report: Called with the number of images made so far.

    Returns:
        The images, mapped from the file; writing to them does not change it.

    Raises:
        ConfigurationError: If one of them does not fit into memory.
        RunError: If there is no space for the file, or it cannot be written.
    """
    gib = math.prod(shape) / 2**30
    what = f"{shape[0]} images of {shape[3]}×{shape[2]} pixels ({gib:.1f} GiB)"
    with keeping(what, file.parent):
        own_folder(file.parent)
        if not _is_whole(file):
            _check_room(file.parent, shape)
            _store(file, shape, _chunks(shape, image, report))
        pixels_NCHW: Pixels = np.load(file, mmap_mode="c")
    return pixels_NCHW


def _check_room(folder: Path, shape: tuple[int, ...]) -> None:
    """Raise an error if disk or memory are too small, before anything is made."""
    free = shutil.disk_usage(folder).free
    if math.prod(shape) > free:
        raise OSError(errno.ENOSPC, f"only {free / 2**30:.1f} GiB are free")
    needed = _COPIES * math.prod(shape[1:])
    check_room(needed, f"images of {shape[3]}×{shape[2]} pixels", "lower --image-size")


def _chunks(
    shape: tuple[int, ...], image: Callable[[int], Pixels], report: Callable[[int], None] | None
) -> Iterator[Pixels]:
    """Make images in several threads and yield them in order, (B, 3, H, W)."""
    count = shape[0]
    size = max(1, min(_CHUNK, _CHUNK_BYTES // math.prod(shape[1:])))
    with ThreadPoolExecutor() as threads:
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield np.stack(list(threads.map(image, range(start, stop))))
            if report:
                report(stop)


def _store(file: Path, shape: tuple[int, ...], chunks: Iterator[Pixels]) -> None:
    """Write an array, then its checksum, without which the array is not used."""
    header = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    checksum = hashlib.sha256(header.getvalue())
    with written_atomically(file) as content:
        content.write(header.getvalue())
        for pixels_BCHW in chunks:
            content.write(pixels_BCHW.data)
            checksum.update(pixels_BCHW.data)
    with written_atomically(_checksum_file(file)) as content:
        content.write(checksum.hexdigest().encode())


def _is_whole(file: Path) -> bool:
    """Tell whether an array exists and is still as it was written."""
    checksum = _checksum_file(file)
    with contextlib.suppress(OSError, ValueError):
        if is_own(file) and is_own(checksum):
            with file.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            return found == checksum.read_text()
    return False


def _checksum_file(file: Path) -> Path:
    return file.with_suffix(".sha256")
