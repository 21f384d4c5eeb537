"""Kernels to be timed: the data they work on, and what of them is timed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from regtopk_bench import memory
from regtopk_bench.results import KernelCell, Scalar
from regtopk_bench.settings import KernelsSettings
from regtopk_bench.sparsify.density import Budget
from regtopk_bench.timing import Clock, CpuClock, CudaClock, KernelData, Timed, problem

_ROWS = 6
"""What the data of a problem takes at least, in rows of J values."""


@dataclass(frozen=True)
class KernelProblem:
    """The data that kernels are timed on, as a value."""

    distribution: str
    dim: int
    density: float
    dtype: str
    device: str

    @property
    def facts(self) -> dict[str, Scalar]:
        """What a result records about it."""
        threads = torch.get_num_threads() if self.device == "cpu" else None
        return {**vars(self), "threads": threads}

    def cell(self, timed: Timed) -> KernelCell:
        """Return the cell of a candidate."""
        return KernelCell(problem=self.facts, candidate={**vars(timed)})

    def data(self) -> KernelData:
        """Make the data.

        Raises:
            MemoryError: If this machine has not as much memory.
        """
        k, dtype = Budget(density=self.density).entries(self.dim), getattr(torch, self.dtype)
        if self.device == "cpu" and _ROWS * self.dim * dtype.itemsize > memory.present():
            raise MemoryError
        return problem(self.distribution, self.dim, k, dtype, self.device)

    def clock(self) -> Clock:
        """Return a clock for its device."""
        return CudaClock() if self.device == "cuda" else CpuClock()


def kernel_problems(settings: KernelsSettings, device: str) -> Iterator[KernelProblem]:
    """Yield what the settings of `kernels` name, to be timed on "cpu" or "cuda"."""
    for distribution in settings.distribution:
        for dim in settings.size:
            for density in settings.density:
                yield KernelProblem(distribution, dim, density, settings.dtype, device)
