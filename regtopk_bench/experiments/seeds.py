"""`simulate_seeds`: sparsifiers on a problem of one's own, each with several seeds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from regtopk_bench.arguments import shown, whole
from regtopk_bench.errors import ConfigurationError, failures_of
from regtopk_bench.experiments.cell import Cell
from regtopk_bench.experiments.problems import Instance
from regtopk_bench.experiments.run import run
from regtopk_bench.results import LIBRARY, Result, Scalar, Setting
from regtopk_bench.sparsify import Sparsifier
from regtopk_bench.training import RESTARTS, Recipe, Schedule
from regtopk_bench.training.plan import Plan
from regtopk_bench.transport import TIMEOUT_SECONDS
from regtopk_bench.workloads import Workload
from regtopk_bench.workloads.base import digest


@dataclass(frozen=True)
class OwnProblem:
    """A problem that a function makes for each seed."""

    make: Callable[[int], Workload]
    name: str

    def instance(self, seed: int) -> Instance:
        """See `Problem.instance`."""
        with failures_of(f"{self.name}({seed})"):
            made = self.make(seed)
        if not isinstance(made, Workload):
            raise ConfigurationError(f"{self.name}({seed}) is {shown(made)}, and not a Workload")
        return Instance(made)

    def record(self) -> dict[str, Scalar]:
        """See `Problem.record`."""
        return {"workload": self.name}


def simulate_seeds(
    make: Callable[[int], Workload],
    sparsifiers: Sparsifier | Sequence[Sparsifier],
    *,
    seeds: Iterable[int],
    rounds: int,
    learning_rate: float,
    name: str | None = None,
    schedule: Schedule | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    local_steps: int = 1,
    evaluate_every: int = 1,
    processes: int | str = "auto",
    jobs: int = 1,
    timeout: float = TIMEOUT_SECONDS,
    restarts: int = RESTARTS,
) -> Result:
    """Train with every sparsifier and every seed; `compare` summarises what is returned.

    All sparsifiers of a seed are trained on the same workload, so that they can be compared in
    pairs. A run that diverges does not stop the others.

    Args:
        make: Makes the workload of a seed, from which data, initial values and batches must follow:
            `lambda seed: ModelWorkload(..., seed=seed)`, for example. If there are several seeds,
            it is called once more with each of the first two, before training, to see that they do.
        sparsifiers: One, or several that differ.
        seeds: Whole numbers, at least 0: `range(5)`, for example.
        rounds: See `Recipe`, as for everything not described here.
        learning_rate: η.
        name: Names the problem in results; when None, the function's own with the arguments that a
            `functools.partial` gives it.
        schedule: The factor on η in each round; constant when None.
        momentum: m.
        weight_decay: λ.
        local_steps: Steps of a worker in a round.
        evaluate_every: Rounds between evaluations.
        processes: How many processes host the workers: see `simulate`.
        jobs: How many runs at the same time, each in a process of its own; if more than one,
            `processes` must be 1 or "auto", and `make` defined at the top level of a module.
        timeout: How many seconds a process may take to start, and may keep the others waiting.
        restarts: How often the processes of a run are started again after one was lost: see
            `simulate`.

    Returns:
        The runs, those of a seed together.

    Raises:
        ConfigurationError: If an argument cannot be used, as a problem whose batches are the same
            with every seed.
        RunError: If a run failed for any other reason than a gradient that is not finite.
        KeyboardInterrupt: On Ctrl-C; the runs so far are lost, as with a RunError. What takes long
            is better run by `experiments.run`, which yields them and keeps a journal.
    """
    if isinstance(make, Workload) or not callable(make):
        raise ConfigurationError(
            f"{shown(make)} is no function that makes the workload of a seed: "
            "give lambda seed: ModelWorkload(..., seed=seed), for example"
        )
    recipe = Recipe(
        rounds=rounds,
        learning_rate=learning_rate,
        schedule=Schedule() if schedule is None else schedule,
        momentum=momentum,
        weight_decay=weight_decay,
        local_steps=local_steps,
        evaluate_every=evaluate_every,
    )
    problem = OwnProblem(make, name or _name_of(make))
    chosen = [sparsifiers] if isinstance(sparsifiers, Sparsifier) else sparsifiers
    chosen = _listed(chosen, "sparsifiers", "[rb.TopK(density=0.01)]")
    cells = [
        Cell(problem=problem, sparsifier=sparsifier, recipe=recipe, seed=whole(seed, "seed"))
        for seed in _listed(seeds, "seeds", "range(5)")
        for sparsifier in chosen
    ]
    created = datetime.now(UTC).isoformat(timespec="seconds")
    made = run(
        cells,
        processes=processes,
        jobs=whole(jobs, "jobs", 1),
        timeout=timeout,
        restarts=restarts,
    )
    _check_seeds(cells)
    runs = {each.cell.key: each for each in made}
    return Result(
        command=LIBRARY,
        created=created,
        settings={
            fact: Setting(value=value, source="argument")
            for fact, value in cells[0].record.recipe.items()
        },
        runs=[runs[cell.key] for cell in cells],
    )


def _check_seeds(cells: Sequence[Cell]) -> None:
    """Raise ConfigurationError if a problem draws at random, and the same for the first two seeds.

    Runs with several seeds would say nothing about chance then. A problem that has no seed to draw
    from may be the same for all: what `simulate` and random sparsifiers draw differs.
    """
    by_seed: dict[int, Cell] = {}
    for cell in cells:
        by_seed.setdefault(cell.seed, cell)
    if len(by_seed) < 2:
        return
    one, other, *_ = by_seed.values()
    drawn = _drawn(one)
    if drawn is not None and drawn == _drawn(other):
        raise ConfigurationError(
            f"{one.problem.record()['workload']} makes the same problem for seeds {one.seed} and "
            f"{other.seed}: its data, batches or initial values must follow from the seed, as in "
            "ModelWorkload(..., seed=seed)"
        )


def _drawn(cell: Cell) -> tuple[Mapping[str, object], str] | None:
    """Return what tells a cell's problem from others; None if it has no seed to draw from."""
    plan = Plan(
        workload=cell.problem.instance(cell.seed).workload,
        sparsifier=cell.sparsifier,
        recipe=cell.recipe,
        seed=cell.seed,
    )
    identity = plan.workload.identity
    return (identity, digest(plan.initial_parameters)) if "seed" in identity else None


def _listed(values: Any, what: str, example: str) -> list[Any]:
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise ConfigurationError(f"{what} must be a list, such as {example}, not {shown(values)}")
    found = list(values)
    if not found:
        raise ConfigurationError(f"there are no {what}: give a list, such as {example}")
    return found


def _name_of(make: Any) -> str:
    if isinstance(make, functools.partial):
        given = [
            *map(shown, make.args),
            *(f"{name}={shown(value)}" for name, value in make.keywords.items()),
        ]
        return f"{_name_of(make.func)}({', '.join(given)})"
    return str(getattr(make, "__qualname__", type(make).__qualname__))
