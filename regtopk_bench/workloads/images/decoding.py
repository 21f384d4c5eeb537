"""One image file to the pixels of an RGB image, of 8 bits per channel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from regtopk_bench.errors import RunError
from regtopk_bench.workloads.images.cache import Pixels
from regtopk_bench.workloads.images.damage import reason, unreadable

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".gif", ".tif", ".tiff")

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "GIF", "TIFF")
_LEVELS_16_TO_8 = 257


@contextmanager
def strictly() -> Iterator[None]:
    """Make a suspiciously large image an error, and ignore what metadata may be wrong.

    Filters of warnings belong to all threads: enter this once, around those that decode.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode(file: str, side: int | None) -> Pixels:
    """Return the first frame of an image, (3, H, W); see `as_pixels`.

    Transparency is dropped: pixels keep the colours that they have under it. Greyscale of 16 bits
    is divided by 257 and rounded. Of colours, Pillow itself keeps the upper 8 of 16 bits.

    Raises:
        RunError: If it is damaged, truncated or suspiciously large, or has pixels of 32 bits.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Path(file).open("rb") as content:
            with Image.open(content, formats=_FORMATS) as opened:
                if opened.format == "PNG":
                    opened.verify()  # its checksums, which are not compared while decoding
            with Image.open(content, formats=_FORMATS) as opened:
                return as_pixels(_rgb(file, opened), side)
    except RunError:
        raise
    except Exception as error:
        why = "unknown format" if isinstance(error, UnidentifiedImageError) else reason(error)
        raise unreadable(file, error, f"is not an image that can be decoded ({why})") from error


def as_pixels(image: Any, side: int | None) -> Pixels:
    """Return one of Pillow's images as an array, (3, H, W), if need be resized and cropped."""
    from PIL import Image, ImageOps

    if side is not None:
        image = ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _rgb(file: str, image: Any) -> Any:
    """Return an image as RGB."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        values_HW = np.asarray(image).astype(np.int64)
        grey_HW = (values_HW + _LEVELS_16_TO_8 // 2) // _LEVELS_16_TO_8
        image = Image.fromarray(grey_HW.astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise RunError(
            f"{file} has pixels of 32 bits (Pillow's mode {image.mode}), whose range is unknown: "
            "convert it to 8 or 16 bits"
        )
    elif image.mode == "P":  # with transparency, Pillow warns unless this is between
        image = image.convert("RGBA")
    return image.convert("RGB")
