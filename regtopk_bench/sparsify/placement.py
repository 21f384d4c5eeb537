"""What a process hosts: which workers, of how many, and how to reach the others."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.messages import Alone, Peers

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Some of the N workers, and all that a sparsifier needs to know about them."""

    workers: range
    """The workers hosted here, counted from 0 over all processes."""

    total: int
    """Number of workers in all processes, N."""

    weights_N: Tensor
    """ω of the workers hosted here, (n,): the share of each in the aggregate."""

    shapes: tuple[Shape, ...]
    """Shapes of the tensors, such as layers, whose entries make up a gradient, in order."""

    dtype: torch.dtype
    """dtype of the gradients."""

    device: torch.device
    """Device of the gradients."""

    seed: int = 0
    """Seed of a sparsifier's randomness, the same in every process."""

    part: tuple[int, ...] = ()
    """Which part of the whole gradient this is; () for all of it."""

    peers: Peers = dataclasses.field(default_factory=Alone)
    """Access to the workers of other processes."""

    @classmethod
    def alone(
        cls,
        workers: int,
        dim: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        *,
        weights: Tensor | None = None,
        shapes: tuple[Shape, ...] | None = None,
        seed: int = 0,
    ) -> Placement:
        """Return the placement of a process that hosts all workers.

        Args:
            workers: N.
            dim: J.
            dtype: dtype of the gradients.
            device: Device of the gradients.
            weights: ω (N,); 1/N each when None.
            shapes: Shapes of the tensors that make up a gradient; a single vector when None.
            seed: Seed of random sparsifiers.
        """
        if weights is None:
            weights = torch.full((workers,), 1.0 / workers, dtype=torch.float64)
        return cls(
            workers=range(workers),
            total=workers,
            weights_N=weights.to(dtype=dtype, device=device),
            shapes=shapes or ((dim,),),
            dtype=dtype,
            device=torch.device(device),
            seed=seed,
        )

    @property
    def dim(self) -> int:
        """J, the number of parameters."""
        return sum(map(math.prod, self.shapes))

    @property
    def dims(self) -> list[int]:
        """How many parameters each of the tensors has."""
        return [math.prod(shape) for shape in self.shapes]

    def layers(self) -> list[Placement]:
        """Return a placement of the same workers for each of the tensors."""
        return [
            dataclasses.replace(self, shapes=(shape,), part=(*self.part, number))
            for number, shape in enumerate(self.shapes)
        ]

    def generator(self, number: int, *more: int) -> np.random.Generator:
        """Return a random generator seeded with the seed, the part and these numbers.

        Given the round, all processes draw the same; given a worker's id as well, each worker
        has its own draws, wherever it is hosted.
        """
        # A spawn key tells numbers apart that differ in trailing zeros only, as a list does not.
        key = (len(self.part), *self.part, *more) if self.part or more else ()
        seeds = np.random.SeedSequence([self.seed, number], spawn_key=key)
        return np.random.default_rng(seeds)
