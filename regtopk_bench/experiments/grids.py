"""From a command's settings to the grid of its cells: seeds × algorithms × densities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

from regtopk_bench.algorithms import AlgorithmSpec
from regtopk_bench.experiments.cell import Cell
from regtopk_bench.experiments.problems import (
    ImageProblem,
    Problem,
    RegressionProblem,
    ToyProblem,
)
from regtopk_bench.memory import check_room
from regtopk_bench.settings import (
    CifarSettings,
    ComparisonSettings,
    LinregSettings,
    ToySettings,
)
from regtopk_bench.sparsify import (
    Dense,
    PerLayer,
    RegTopK,
    Sparsifier,
    TopK,
    make,
    sparsifier_class,
    takes_density,
)
from regtopk_bench.training import Recipe, Schedule
from regtopk_bench.workloads.images import ImageData

T = TypeVar("T")

_BYTES_PER_ROUND = 200
"""What the traces of a run take in memory for each round, at least."""


def regression_cells(settings: LinregSettings) -> list[Cell]:
    """Return the cells of `linreg`."""
    return _grid(_from_settings(RegressionProblem, settings), settings)


def image_cells(settings: CifarSettings, data: ImageData, device: str) -> list[Cell]:
    """Return the cells of `cifar`.

    Args:
        settings: The command's settings.
        data: The images that the settings name.
        device: The device that the settings name, "cpu" or "cuda".
    """
    made_up = settings.data is None and settings.dataset == "synthetic"
    dataset = "synthetic" if made_up else "images"
    problem = _from_settings(ImageProblem, settings, data=data, dataset=dataset, device=device)
    schedule = Schedule(shape=settings.schedule, warm_up=settings.warm_up)
    return _grid(problem, settings, schedule=schedule)


def toy_cells(settings: ToySettings) -> list[Cell]:
    """Return the cells of `toy`."""
    recipe = _from_settings(Recipe, settings)
    return _checked(
        [
            Cell(problem=ToyProblem(), sparsifier=sparsifier, recipe=recipe)
            for sparsifier in (Dense(), TopK(k=1), RegTopK(k=1, mu=1.0))
        ]
    )


def sparsifiers(
    algorithms: Iterable[AlgorithmSpec], density: Iterable[float], k: Iterable[int]
) -> list[Sparsifier]:
    """Return every algorithm at every density, or at every k if any are given.

    Algorithms without a density, or with their own, come first and once each.
    """
    budgets: list[dict[str, Any]] = [{"k": each} for each in k]
    budgets = budgets or [{"density": each} for each in density]
    fixed: list[AlgorithmSpec] = []
    swept: list[AlgorithmSpec] = []
    for spec in algorithms:
        (swept if _is_swept(spec) else fixed).append(spec)
    found = [make(spec) for spec in fixed]
    found += [make(spec, **budget) for budget in budgets for spec in swept]
    return list(dict.fromkeys(found))


def _is_swept(spec: AlgorithmSpec) -> bool:
    given = {name for name, _ in spec.parameters}
    return takes_density(sparsifier_class(spec.name)) and not given & {"density", "k"}


def _grid(problem: Problem, settings: ComparisonSettings, **recipe: Any) -> list[Cell]:
    chosen = sparsifiers(settings.algorithm, settings.density, settings.k)
    if getattr(settings, "scope", "global") == "layer":
        chosen = [PerLayer(each) if takes_density(type(each)) else each for each in chosen]
    trained = _from_settings(Recipe, settings, **recipe)
    return _checked(
        [
            Cell(problem=problem, sparsifier=sparsifier, recipe=trained, seed=seed)
            for seed in settings.seeds
            for sparsifier in chosen
        ]
    )


def _checked(cells: list[Cell]) -> list[Cell]:
    """Return cells; raise ConfigurationError if no memory could hold the traces of all rounds."""
    rounds = sum(cell.recipe.rounds for cell in cells)
    what = f"the traces of {rounds} rounds in {len(cells)} runs"
    check_room(rounds * _BYTES_PER_ROUND, what, "lower rounds")
    return cells


def _from_settings(made: type[T], settings: Any, **given: Any) -> T:
    """Make a dataclass from the settings named like its fields."""
    names = [each.name for each in fields(made) if each.init and each.name not in given]  # type: ignore[arg-type]
    values = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
    return made(**values, **given)
