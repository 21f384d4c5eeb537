"""Synthetic images with distinguishable classes, for trying things out without data."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate

from regtopk_bench.memory import check_room
from regtopk_bench.workloads.images.dataset import ImageData, Images

_CLASSES = 10
_PATTERN_SIDE = 4
_CONTRAST = 10.0
_NOISE = 50.0
_SHIFT = 0.25


def synthetic_images(
    *, side: int = 32, train: int = 10_000, test: int = 2_000, seed: int = 0
) -> ImageData:
    """Return images of ten classes: a smooth pattern for each, shifted and with noise added.

    Args:
        side: Height and width.
        train: Images to train on.
        test: Images to test with.
        seed: Of patterns, labels, shifts and noise.

    Raises:
        ConfigurationError: If memory is too small.
    """
    entry = np.dtype(np.float64).itemsize + np.dtype(np.float32).itemsize
    count = max(train, test)
    check_room(
        count * 3 * side**2 * entry,
        f"{count} synthetic images of {side}×{side} pixels",
        "lower --image-size",
    )
    draw = np.random.default_rng(seed)
    coarse = torch.from_numpy(draw.normal(size=(_CLASSES, 3, _PATTERN_SIDE, _PATTERN_SIDE)))
    patterns = interpolate(coarse, size=(side, side), mode="bilinear").numpy()

    def images(count: int) -> Images:
        labels = draw.integers(0, _CLASSES, count)
        shifts = draw.integers(0, max(1, int(_SHIFT * side)), (count, 2))
        pixels = draw.normal(128.0, _NOISE, (count, 3, side, side)).astype(np.float32)
        for image, label, shift in zip(pixels, labels, shifts, strict=True):
            image += _CONTRAST * np.roll(patterns[label], shift, axis=(1, 2))
        return Images(
            torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)
        )

    return ImageData(
        tuple(f"class {label}" for label in range(_CLASSES)), images(train), images(test)
    )
