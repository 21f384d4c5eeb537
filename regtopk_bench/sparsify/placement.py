"""What a process hosts: which workers, of how many, and how to reach the others."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.arguments import shown, whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels import check_floats, check_tensor
from regtopk_bench.messages import Alone, Peers

Shape = tuple[int, ...]

_ROUNDING = 1e-3
"""How far shares may be from adding up to 1: the precision of float16."""


def check_shares(weights_N: Any, workers: int) -> None:
    """Raise ConfigurationError unless these are the shares of all workers, which add up to 1."""
    check_floats(weights_N, "weights", 1)
    check_tensor(weights_N, "weights", (workers,), weights_N.dtype, weights_N.device)
    total = float(weights_N.double().sum())
    if not (abs(total - 1.0) <= _ROUNDING and bool((weights_N >= 0.0).all())):
        raise ConfigurationError(
            f"weights {shown(weights_N.tolist())} are not shares: expected numbers from 0 up that "
            "add up to 1"
        )


def check_placement(placement: Any) -> None:
    """Raise ConfigurationError unless this is a placement."""
    if not isinstance(placement, Placement):
        raise ConfigurationError(f"expected a Placement, not a {type(placement).__name__}")


def check_shapes(shapes: Any, dim: int | None = None) -> None:
    """Raise ConfigurationError unless these are shapes, of `dim` entries in all if it is given."""
    if not isinstance(shapes, tuple) or not all(isinstance(shape, tuple) for shape in shapes):
        raise ConfigurationError(f"shapes {shown(shapes)} are not a tuple of tuples")
    for size in (size for shape in shapes for size in shape):
        whole(size, "a size in shapes")
    entries = sum(map(math.prod, shapes))
    if dim not in (None, entries):
        raise ConfigurationError(f"shapes {shown(shapes)} have {entries} entries, not {dim}")


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

    def __post_init__(self) -> None:
        """Check that all of it fits together."""
        whole(self.total, "number of workers", 1)
        workers, total = self.workers, self.total
        if not isinstance(workers, range) or not workers or workers.step != 1:
            raise ConfigurationError(f"workers {shown(workers)}: expected a range, one by one")
        if workers.start < 0 or workers.stop > total:
            raise ConfigurationError(f"workers {workers} are not among the {total} there are")
        if not isinstance(self.dtype, torch.dtype) or not self.dtype.is_floating_point:
            raise ConfigurationError(f"dtype {shown(self.dtype)} is not one of floats")
        if not isinstance(self.device, torch.device) or self.device.type == "meta":
            raise ConfigurationError(f"device {shown(self.device)} is not one that computes")
        check_shapes(self.shapes)
        if self.dim == 0:
            raise ConfigurationError("there is nothing to train: J is 0, no tensor has entries")
        whole(self.seed, "seed")
        device = getattr(self.weights_N, "device", self.device)
        if device.type == self.device.type:  # a device may leave out its number
            object.__setattr__(self, "device", device)
        check_tensor(self.weights_N, "weights", (len(workers),), self.dtype, self.device)
        if not bool((self.weights_N >= 0.0).all() and self.weights_N.isfinite().all()):
            raise ConfigurationError("weights are not all finite and at least 0")

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

        Raises:
            ConfigurationError: If an argument is of no use, or they do not fit together.
        """
        workers, dim = whole(workers, "number of workers", 1), whole(dim, "dim", 1)
        if weights is None:
            weights = torch.full((workers,), 1.0 / workers, dtype=torch.float64)
        check_shares(weights, workers)
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ConfigurationError(f"dtype {shown(dtype)} is not one of floats")
        try:
            placed = weights.to(dtype=dtype, device=device)
        except (RuntimeError, TypeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigurationError(f"device {shown(device)} cannot be used: {reason}") from error
        if shapes is not None:
            check_shapes(shapes, dim)
        return cls(
            workers=range(workers),
            total=workers,
            weights_N=placed,
            shapes=((dim,),) if shapes is None else shapes,
            dtype=dtype,
            device=placed.device,
            seed=seed,
        )

    @functools.cached_property
    def dim(self) -> int:
        """J, the number of parameters."""
        return sum(map(math.prod, self.shapes))

    @functools.cached_property
    def dims(self) -> list[int]:
        """How many parameters each of the tensors has that are not empty."""
        return [size for shape in self.shapes if (size := math.prod(shape))]

    @functools.cached_property
    def gradients_shape(self) -> tuple[int, int]:
        """(n, J)."""
        return len(self.workers), self.dim

    def check_gradients(self, grad_NJ: Tensor) -> None:
        """Raise ConfigurationError unless these can be gradients of the workers hosted here."""
        check_tensor(grad_NJ, "gradients", self.gradients_shape, self.dtype, self.device)

    def check_aggregate(self, aggregate_J: Tensor) -> None:
        """Raise ConfigurationError unless this can be an aggregate of messages."""
        check_tensor(aggregate_J, "aggregate", self.gradients_shape[1:], self.dtype, self.device)

    def layers(self) -> list[Placement]:
        """Return a placement of the same workers for each of the tensors that have entries."""
        return [
            dataclasses.replace(self, shapes=(shape,), part=(*self.part, number))
            for number, shape in enumerate(self.shapes)
            if math.prod(shape)
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
