"""Small networks and data sets for the tests of `ModelWorkload`."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

import regtopk_bench as rb

SIZES = (40, 25, 33)


def points(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return points in six dimensions, whose class is where they lie."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=generator)
    return x, (x[:, :3].sum(dim=1) > 0).long() + (x[:, 3] > 0.8).long()


def everyone() -> list[tuple[Tensor, Tensor]]:
    return [points(size, worker) for worker, size in enumerate(SIZES)]


def network(*middle: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), *middle, nn.Linear(8, 3))


class Noisy(Dataset[tuple[Tensor, int]]):
    """Points moved at random, by all the generators that people use."""

    def __init__(self, count: int, seed: int) -> None:
        self.x, self.y = points(count, seed)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        moved = self.x[position] + 0.1 * torch.randn(6) + random.uniform(0.0, 0.1)
        return moved + 0.1 * float(np.random.rand()), int(self.y[position])


def workload(
    model: nn.Module | None = None, datasets: Any = None, batch: int = 5, **options: Any
) -> rb.ModelWorkload:
    usual = {"test": points(60, 9), "metrics": {"accuracy": rb.accuracy}, "seed": 5}
    return rb.ModelWorkload(
        model or network(),
        cross_entropy,
        datasets or everyone(),
        batch=batch,
        **usual | options,  # type: ignore[arg-type]
    )


def lively() -> rb.ModelWorkload:
    """Everything at once that could depend on more than parameters, worker and round."""
    model = network(nn.BatchNorm1d(8), nn.Dropout(0.3))
    return workload(model, [Noisy(size, worker) for worker, size in enumerate(SIZES)])
