"""Pixels on disk: written once, a few images at a time, and mapped instead of held in memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.errors import RunError
from regtopk_bench.files import written_atomically

Pixels = NDArray[np.uint8]

_CHUNK = 500


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
        RunError: If there is no space for the file, or it cannot be written.
    """
    if not _is_whole(file):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _store(file, shape, _chunks(shape[0], image, report))
        except OSError as error:
            raise RunError(
                f"cannot keep {shape[0]} images of {shape[3]}×{shape[2]} pixels "
                f"({np.prod(shape, dtype=float) / 2**30:.1f} GiB) in {file.parent}: "
                f"{error.strerror}; make room or give another --cache"
            ) from error
    pixels_NCHW: Pixels = np.load(file, mmap_mode="c")
    return pixels_NCHW


def _chunks(
    count: int, image: Callable[[int], Pixels], report: Callable[[int], None] | None
) -> Iterator[Pixels]:
    """Make images in several threads and yield them in order, (B, 3, H, W)."""
    with ThreadPoolExecutor() as threads:
        for start in range(0, count, _CHUNK):
            stop = min(start + _CHUNK, count)
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
    try:
        expected = _checksum_file(file).read_text()
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == expected
    except (OSError, ValueError):
        return False


def _checksum_file(file: Path) -> Path:
    return file.with_suffix(".sha256")
