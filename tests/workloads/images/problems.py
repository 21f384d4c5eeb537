"""Small problems for the tests of image classification."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from regtopk_bench.workloads.images import (
    ImageClassification,
    ImageData,
    Images,
    build_model,
    partition,
)


def images(count: int, seed: int) -> Images:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=generator)
    pixels = torch.randint(0, 100, (count, 3, 16, 16), generator=generator)
    pixels[torch.arange(count), labels] += 100  # the label shows as a colour
    return Images(pixels.to(torch.uint8), labels)


DATA = ImageData(("red", "green", "blue"), images(200, 0), images(50, 1))


def workload(
    model: str | nn.Module = "cnn", workers: int = 4, augment: bool = True, **options: Any
) -> ImageClassification:
    torch.manual_seed(0)
    network = build_model(model, classes=3, side=16) if isinstance(model, str) else model
    labels = DATA.train.labels_N.numpy()
    shares = partition(labels, workers, "iid", batch=8, seed=0)
    return ImageClassification(DATA, network, shares, batch=8, seed=5, augment=augment, **options)


def dropping() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(3 * 16 * 16, 3))


def smooth() -> nn.Module:
    """Batch normalisation, and no thresholds at which rounding could decide."""
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Tanh(), nn.Conv2d(8, 4, 3, stride=2)]
    return nn.Sequential(*layers, nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3))
