"""The images that settings name: read, fetched or made."""

from __future__ import annotations

from pathlib import Path

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings import CifarSettings
from regtopk_bench.workloads.images import (
    ImageData,
    OnImages,
    OnRead,
    load_images,
    synthetic_images,
)

_SYNTHETIC_SIDE = 32


def images_of(
    settings: CifarSettings,
    on_images: OnImages | None = None,
    on_read: OnRead | None = None,
) -> ImageData:
    """Return the images that the settings of `cifar` name.

    Args:
        settings: The command's settings.
        on_images: Called while images are decoded, with the number of those done and of all.
        on_read: Called while an archive is unpacked, with the bytes read and all there are.

    Raises:
        ConfigurationError: If there are none, or they are not squares.
    """
    if settings.data is None and settings.dataset == "synthetic":
        return synthetic_images(side=settings.image_size or _SYNTHETIC_SIDE)
    data = load_images(
        Path(settings.data) if settings.data else None,
        Path(settings.cache),
        side=settings.image_size,
        unpacked_limit=settings.unpacked_limit,
        on_images=on_images,
        on_read=on_read,
    )
    height, width = data.train.pixels_NCHW.shape[2:]
    if height != width:
        raise ConfigurationError(
            f"images have {width}×{height} pixels, and networks want squares: give --image-size"
        )
    return data
