"""Images are decoded to the pixels that they have, or refused; never to some that they have not."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regtopk_bench import RunError
from regtopk_bench.workloads.images.cache import Pixels
from regtopk_bench.workloads.images.decoding import decode, strictly

NOISE = np.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype(np.uint8)


def decoded(path: Path) -> Pixels:
    with strictly():
        return decode(str(path), None)


@pytest.mark.parametrize(
    ("suffix", "order"), [("png", "<u2"), ("ppm", "<u2"), ("tiff", "<u2"), ("tiff", ">u2")]
)
def test_grey_of_16_bits_is_scaled(tmp_path: Path, suffix: str, order: str) -> None:
    grey = np.array([[0, 128, 129, 257, 30_000, 65_535]], order)
    Image.fromarray(grey).save(tmp_path / f"a.{suffix}")
    pixels_CHW = decoded(tmp_path / f"a.{suffix}")
    assert pixels_CHW.tolist() == [[[0, 0, 1, 1, 117, 255]]] * 3


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 3), 70_000).save(tmp_path / "a.tiff")
    with pytest.raises(RunError, match=r"a.tiff has pixels of 32 bits .*: convert it"):
        decoded(tmp_path / "a.tiff")


COLOUR = (200, 100, 50)
MODES = {  # the mode, the format, and the colour that is left
    "1": ("png", (255, 255, 255)),
    "L": ("png", (124, 124, 124)),
    "LA": ("png", (124, 124, 124)),
    "RGBA": ("png", COLOUR),
    "CMYK": ("tiff", COLOUR),
    "P": ("gif", COLOUR),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_has_its_colours(tmp_path: Path, mode: str) -> None:
    """Transparent pixels keep theirs, as in torchvision's folders of images."""
    suffix, expected = MODES[mode]
    image = Image.new("RGB", (4, 3), (255, 255, 255) if mode == "1" else COLOUR)
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(0)
    options = {"transparency": 0} if mode == "P" else {}
    image.save(tmp_path / f"a.{suffix}", **options)
    assert decoded(tmp_path / f"a.{suffix}")[:, 0, 0].tolist() == list(expected)


def test_a_palette_with_degrees_of_transparency_is_decoded_without_a_warning(
    tmp_path: Path,
) -> None:
    image = Image.new("RGB", (4, 3), COLOUR).quantize(2)
    image.save(tmp_path / "a.png", transparency=b"\0\x80")
    assert decoded(tmp_path / "a.png")[:, 0, 0].tolist() == list(COLOUR)


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (4, 3), (level,) * 3) for level in (7, 99))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert decoded(tmp_path / "a.gif")[:, 0, 0].tolist() == [7, 7, 7]


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "ppm", "tiff", "webp"])
def test_a_truncated_image_is_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(NOISE).save(file)
    whole, expected = file.read_bytes(), decoded(file)
    for length in (*range(0, len(whole), len(whole) // 30), len(whole) - 20):
        file.write_bytes(whole[:length])
        try:
            found = decoded(file)
        except RunError:
            continue
        assert np.array_equal(found, expected)  # what is missing comes after the pixels
        assert suffix == "tiff" or length > len(whole) - 12


def test_the_checksums_of_a_png_are_compared(tmp_path: Path) -> None:
    file, draw = tmp_path / "a.png", random.Random(0)
    Image.fromarray(NOISE).save(file)
    whole, expected = file.read_bytes(), decoded(file)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        try:
            assert np.array_equal(decoded(file), expected)
        except RunError:
            continue


def test_suspiciously_large_images_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between once and twice its limit, Pillow only warns."""
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    for limit in (300, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(RunError, match="decompression bomb"):
            decoded(tmp_path / "a.png")


def test_other_formats_are_not_even_tried(tmp_path: Path) -> None:
    """Pillow would have PostScript executed."""
    Image.fromarray(NOISE).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(RunError, match=r"decoded \(unknown format\)"):
        decoded(tmp_path / "a.png")


def test_what_the_system_cannot_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("a.png")
    with pytest.raises(RunError, match=f"cannot read .*a.png: {os.strerror(40)}"):
        decoded(tmp_path / "a.png")
