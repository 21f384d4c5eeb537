"""A problem for experiments that goes wrong where, when and how a test wants it to."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.experiments import Cell, Instance
from regtopk_bench.results import Scalar
from regtopk_bench.training import Recipe

ROUNDS = 20
TROUBLE = 10
"""The round, from 1, in which trouble comes."""


class BowlWorkload(rb.Workload):
    """½ ‖θ - c_n‖², with centres c_n that follow from a seed."""

    workers, dim, dtype = 3, 6, torch.float64

    def __init__(self, seed: int, diverges: bool, trouble: Path | None) -> None:
        self.weights_N = torch.full((3,), 1 / 3, dtype=torch.float64)
        self._diverges, self._trouble = diverges, trouble
        generator = torch.Generator().manual_seed(seed)
        self._centres_NJ = torch.randn(3, 6, generator=generator, dtype=torch.float64)

    def initial_parameters(self, seed: int) -> Tensor:
        return torch.zeros(6, dtype=torch.float64)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        if round + 1 == TROUBLE and self._trouble and self._trouble.exists():
            make_trouble(self._trouble)
        gradients_NJ = parameters_J - self._centres_NJ[workers.start : workers.stop]
        return gradients_NJ / 0.0 if self._diverges and round + 1 == TROUBLE else gradients_NJ

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        return {"loss": parameters_TJ.norm(dim=1).numpy()}


def make_trouble(file: Path) -> None:
    kind = file.read_text()
    if kind == "one death":
        file.unlink()
    match kind:
        case "memory":
            raise MemoryError("no memory left")
        case "failure":
            raise rb.RunError("the disk is full")
        case "silence":
            time.sleep(3.0)
        case "death" | "one death":
            os._exit(7)


@dataclass(frozen=True, kw_only=True)
class Bowl:
    """The problem of a cell."""

    name: str = "bowl"

    diverges: bool = False

    trouble: Path | None = field(default=None, compare=False)
    """A file that says what goes wrong, for as long as it is there."""

    made: list[weakref.ref[Any]] = field(default_factory=list, compare=False)
    """The workloads that were made."""

    left: list[int] = field(default_factory=list, compare=False)
    """How many of those before were still in memory whenever another was made."""

    def instance(self, seed: int) -> Instance:
        self.left.append(sum(made() is not None for made in self.made))
        workload = BowlWorkload(seed, self.diverges, self.trouble)
        self.made.append(weakref.ref(workload))
        return Instance(workload)

    def record(self) -> dict[str, Scalar]:
        return {"workload": self.name, "diverges": self.diverges}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"made": []}  # weak references cannot be sent to another process


def cell(
    sparsifier: rb.Sparsifier | None = None, seed: int = 0, rounds: int = ROUNDS, **problem: Any
) -> Cell:
    """Return a cell on a bowl, by default of Top-k."""
    return Cell(
        problem=Bowl(**problem),
        sparsifier=sparsifier or rb.TopK(k=2),
        recipe=Recipe(rounds=rounds, learning_rate=0.1),
        seed=seed,
    )
