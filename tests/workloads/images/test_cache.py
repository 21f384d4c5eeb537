"""Images are made once, kept on disk and mapped; never all of them in memory."""

from __future__ import annotations

import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from regtopk_bench import RunError
from regtopk_bench.workloads.images.cache import Pixels, cached

SHAPE = (3000, 3, 16, 16)


def image(position: int) -> Pixels:
    return np.full(SHAPE[1:], position % 251, np.uint8)


def test_images_are_in_order_and_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def watched(position: int) -> Pixels:
        made.append(position)
        return image(position)

    first = cached(tmp_path / "new" / "a.npy", SHAPE, watched)
    second = cached(tmp_path / "new" / "a.npy", SHAPE, watched)
    assert sorted(made) == list(range(3000))
    for pixels in (first, second):
        assert isinstance(pixels, np.memmap)
        assert pixels.shape == SHAPE
        assert np.array_equal(pixels[:, 1, 2, 3], np.arange(3000) % 251)


def test_it_is_an_array_that_numpy_reads(tmp_path: Path) -> None:
    pixels = cached(tmp_path / "a.npy", SHAPE, image)
    assert np.array_equal(np.load(tmp_path / "a.npy"), pixels)


def test_progress_ends_at_the_number_of_images(tmp_path: Path) -> None:
    seen: list[int] = []
    cached(tmp_path / "a.npy", SHAPE, image, seen.append)
    assert seen == sorted(set(seen))
    assert len(seen) > 1
    assert seen[-1] == 3000


def test_images_are_never_all_in_memory(tmp_path: Path) -> None:
    shape = (4000, 3, 32, 32)
    tracemalloc.start()
    try:
        cached(tmp_path / "a.npy", shape, lambda position: np.zeros(shape[1:], np.uint8))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.6 * np.prod(shape)


def test_writing_to_the_images_does_not_change_the_file(tmp_path: Path) -> None:
    cached(tmp_path / "a.npy", SHAPE, image)[:] = 255
    assert cached(tmp_path / "a.npy", SHAPE, image)[7, 0, 0, 0] == 7


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """As on a full disk, the system refuses to write what goes beyond the limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(RunError, match=r"cannot keep 3000 images of 16×16 pixels") as caught:
            cached(tmp_path / "a.npy", SHAPE, image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert len(cached(tmp_path / "a.npy", SHAPE, image)) == 3000
