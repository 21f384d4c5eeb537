"""Suites: the cells of a profile, whatever workloads they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from regtopk_bench.algorithms import AlgorithmSpec
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.experiments.grids import image_cells, regression_cells, toy_cells
from regtopk_bench.experiments.images import images_of
from regtopk_bench.experiments.kernel_cells import kernel_problems
from regtopk_bench.experiments.outcome import Workshop
from regtopk_bench.experiments.tasks import Kernel, Target, Task, Training
from regtopk_bench.settings import (
    CifarSettings,
    Claim,
    KernelsSettings,
    LinregSettings,
    ToySettings,
)
from regtopk_bench.sparsify import make, record, sparsifier_class, takes_density
from regtopk_bench.timing import absence, planned


def tasks_of(workloads: Mapping[str, Any]) -> list[Task]:
    """Return the cells of a suite.

    Args:
        workloads: Settings by command, of "linreg", "cifar", "toy" and "kernels".

    Raises:
        ConfigurationError: If a cell cannot be made, or two are the same.
    """
    found: list[Task] = []
    for settings in workloads.values():
        found += _tasks(settings)
    seen: set[str] = set()
    for task in found:
        if task.record.key in seen:
            raise ConfigurationError("a cell of the suite is there twice: every cell is run once")
        seen.add(task.record.key)
    return found


def skip_reason(task: Task) -> str | None:
    """Return why a cell cannot be run here, if so."""
    if task.device == "cuda" and not torch.cuda.is_available():
        return "PyTorch sees no CUDA device here"
    return absence(task.timed) if isinstance(task, Kernel) else None


def pairs_of(claim: Claim, tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """Return the keys of the cells that a claim compares: one pair for each seed.

    Raises:
        ConfigurationError: If an algorithm of the claim cannot be made.
    """
    ours, theirs = ({_key(fact) for fact in _facts(claim, spec).items()} for spec in claim.pair)
    found: dict[int, list[str | None]] = {}
    for task in tasks:
        cell = task.record
        if cell.kind != "training" or cell.problem["workload"] != claim.workload:
            continue
        facts = {_key(fact) for fact in cell.sparsifier.items()}
        for place, wanted in enumerate((ours, theirs)):
            if facts == wanted:
                found.setdefault(cell.seed, [None, None])[place] = cell.key
    return [(one, other) for one, other in found.values() if one and other]


def _key(fact: tuple[str, Any]) -> tuple[str, str]:
    name, value = fact
    return name, f"{value:.17g}" if isinstance(value, int | float) else str(value)


def _facts(claim: Claim, spec: AlgorithmSpec) -> dict[str, Any]:
    dense = not takes_density(sparsifier_class(spec.name))
    budget = {} if dense or claim.density is None else {"density": claim.density}
    return dict(record(make(spec, **budget)))


def _tasks(settings: Any) -> Iterator[Task]:
    workshop = Workshop()
    match settings:
        case LinregSettings():
            target = Target("gap", settings.target)
            for cell in regression_cells(settings):
                yield Training(cell, workshop, target)
        case CifarSettings():
            target = Target("accuracy", settings.target, above=True)
            for cell in image_cells(settings, images_of(settings), _device(settings.device)):
                yield Training(cell, workshop, target)
        case ToySettings():
            for cell in toy_cells(settings):
                yield Training(cell, workshop, None)
        case KernelsSettings():
            yield from _kernels(settings)


def _kernels(settings: KernelsSettings) -> Iterator[Task]:
    """Yield the steps as training makes them: warm, or of an implementation without cases."""
    if isinstance(settings.threads, int):
        torch.set_num_threads(settings.threads)
    device = _device(settings.device)
    for problem in kernel_problems(settings, device):
        restored = problem.distribution != "replay"
        for timed in planned(settings.implementation, device=device, restored=restored):
            if timed.operation == "step" and timed.case in ("", "warm"):
                yield Kernel(problem, timed)


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted
