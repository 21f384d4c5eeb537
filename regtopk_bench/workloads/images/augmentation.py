"""Random shifts and mirror images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

_MARGIN = 4


def augmented(pixels_BCHW: Tensor, seeds: Sequence[Sequence[int]]) -> Tensor:
    """Shift images by up to 4 pixels each way, padding with zeros, and mirror half of them.

    Args:
        pixels_BCHW: Batches of equal size, one after another.
        seeds: The seed of each batch's draws.
    """
    height, width = pixels_BCHW.shape[2:]
    count = len(pixels_BCHW) // len(seeds)
    draws = [_rows_and_columns(seed, count, height, width) for seed in seeds]
    rows_BH, columns_BW = (
        torch.from_numpy(np.concatenate(each)).to(pixels_BCHW.device)
        for each in zip(*draws, strict=True)
    )
    padded_BHWC = pad(pixels_BCHW, (_MARGIN,) * 4).permute(0, 2, 3, 1)
    images_B = torch.arange(len(pixels_BCHW), device=pixels_BCHW.device)
    changed_BHWC = padded_BHWC[images_B[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]
    return changed_BHWC.permute(0, 3, 1, 2)


def _rows_and_columns(
    seed: Sequence[int], count: int, height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw which rows (B, H) and columns (B, W) of the padded images to take."""
    draw = np.random.default_rng(seed)
    down_B1, right_B1 = draw.integers(0, 2 * _MARGIN + 1, (2, count, 1))
    mirrored_B1 = draw.random((count, 1)) < 0.5
    columns_W = np.arange(width)
    return (
        down_B1 + np.arange(height),
        right_B1 + np.where(mirrored_B1, columns_W[::-1], columns_W),
    )
