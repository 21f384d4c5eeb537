"""A cell of an experiment: everything that determines a run's numbers, and nothing else."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from regtopk_bench.experiments.problems import Problem
from regtopk_bench.results import TrainingCell
from regtopk_bench.sparsify import Sparsifier, record
from regtopk_bench.training import Recipe


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A problem, a sparsifier, a recipe and a seed. How it is run is not part of it."""

    problem: Problem
    sparsifier: Sparsifier
    recipe: Recipe
    seed: int = 0

    @functools.cached_property
    def record(self) -> TrainingCell:
        """The cell as it is stored."""
        return TrainingCell(
            problem=self.problem.record(),
            sparsifier=dict(record(self.sparsifier)),
            recipe=dict(self.recipe.record),
            seed=self.seed,
        )

    @functools.cached_property
    def key(self) -> str:
        """Identifies the cell: see `TrainingCell.key`."""
        return self.record.key

    def __str__(self) -> str:
        """Name the cell in a few words."""
        sparsifier = self.record.sparsifier
        shown = [f"{name} {sparsifier[name]}" for name in ("density", "k") if name in sparsifier]
        return " ".join([self.record.algorithm, *shown, f"seed {self.seed}"])
