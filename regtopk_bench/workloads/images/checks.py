"""What shares, weights and networks must be for images to be classified."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.memory import check_room
from regtopk_bench.workloads.images.models import LARGE_SIDE, largest_output

_ROUNDING = 1e-5


def check_shares(shares: Sequence[NDArray[np.int64]], batch: int, images: int) -> None:
    """Raise ConfigurationError unless every worker has a batch of images that exist."""
    if not shares:
        raise ConfigurationError("no shares of the images: expected one for each worker")
    if batch < 1:
        raise ConfigurationError(f"batch {batch} is not at least 1")
    for worker, share in enumerate(shares):
        if len(share) < batch:
            raise ConfigurationError(
                f"worker {worker} has {len(share)} images, fewer than a batch of {batch}"
            )
        if share.min() < 0 or share.max() >= images:
            raise ConfigurationError(
                f"the share of worker {worker} has indices outside of the {images} images"
            )


def check_memory(model: nn.Module, pixels_NCHW: Tensor, sampled: int, at_once: int) -> None:
    """Raise ConfigurationError if images cannot fit, to avoid being killed in training.

    What is counted is less than what is in memory in the end.

    Args:
        model: The network.
        pixels_NCHW: The images to train on.
        sampled: Of how many of them statistics are computed.
        at_once: Images that the network computes at a time.
    """
    images, *shape_CHW = pixels_NCHW.shape
    size = f"{shape_CHW[2]}×{shape_CHW[1]} pixels"
    check_room(
        sampled * math.prod(shape_CHW) * torch.float32.itemsize,
        f"statistics of {images} images of {size}",
        "lower --image-size",
    )
    if max(shape_CHW) < LARGE_SIDE:
        return
    with contextlib.suppress(RuntimeError):  # a model that computes with values cannot be asked
        check_room(
            at_once * largest_output(model, shape_CHW),
            f"outputs of one layer for {at_once} images of {size}",
            "lower --image-size",
        )


def check_weights(weights_N: Tensor, workers: int) -> None:
    """Raise ConfigurationError unless there is a weight for each worker, and they add up to 1."""
    if weights_N.shape != (workers,):
        raise ConfigurationError(
            f"weights have shape {tuple(weights_N.shape)}: expected ({workers},)"
        )
    if not (bool((weights_N > 0.0).all()) and abs(float(weights_N.sum()) - 1.0) < _ROUNDING):
        raise ConfigurationError("weights are not all above 0 with a sum of 1")
