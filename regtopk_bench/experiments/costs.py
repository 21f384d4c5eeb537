"""The costs of sparsifiers on a network, with what a saved result says about their rounds."""

from __future__ import annotations

from datetime import UTC, datetime

import torch

from regtopk_bench.algorithms import REFERENCE, AlgorithmSpec, algorithm
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.experiments.environment import environment
from regtopk_bench.experiments.footprint import Scale, footprint, whole_gradient
from regtopk_bench.experiments.grids import sparsifiers
from regtopk_bench.messages import Encoding
from regtopk_bench.network import BACKWARD
from regtopk_bench.results.costs import Costs, Entry, Rounds, cell_of
from regtopk_bench.results.reached import Reached, own, rounds_of
from regtopk_bench.results.statistics import Summary
from regtopk_bench.settings import CostSettings
from regtopk_bench.sparsify import Sparsifier, make, record

_REFERENCE = AlgorithmSpec(REFERENCE.name)


def planned(settings: CostSettings, reached: Reached | None) -> list[Sparsifier]:
    """Return the sparsifiers whose costs are asked for, first the reference.

    Args:
        settings: The settings.
        reached: Says which, in place of the settings.

    Raises:
        ConfigurationError: If one of them is a bound that no system can reach.
    """
    if reached:
        runs = [_sparsifier(each) for each in reached.summaries if each.achievable]
        return list(dict.fromkeys([make(_REFERENCE), *runs]))
    for spec in settings.algorithm:
        if not algorithm(spec.name).achievable:
            raise ConfigurationError(
                f"{spec.name} is a bound that no system can reach, and has no cost: leave it out"
            )
    return sparsifiers((_REFERENCE, *settings.algorithm), settings.density, settings.k)


def _sparsifier(summary: Summary) -> Sparsifier:
    """Make the sparsifier of a saved run."""
    values = tuple((name, str(value)) for name, value in own(summary.parameters).items())
    density = {"density": summary.density} if summary.has_density else {}
    return make(AlgorithmSpec(summary.algorithm, values), **density)


def scale_of(settings: CostSettings) -> Scale:
    """Return the gradients that the settings name."""
    assert settings.params is not None
    assert settings.workers is not None
    return Scale(settings.params, settings.workers, getattr(torch, settings.dtype))


def outline(settings: CostSettings, device: str, reached: Reached | None) -> Costs:
    """Return all about the costs that does not depend on a sparsifier."""
    assert settings.compute is not None
    scale = scale_of(settings)
    return Costs(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        params=scale.dim,
        workers=scale.workers,
        dtype=settings.dtype,
        network=str(settings.network),
        compute_seconds=settings.compute,
        backward_seconds=BACKWARD * settings.compute,
        counted=scale.counted,
        timed=None if settings.sparsifier_time else scale.timed,
        device=device,
        environment=environment(),
        rounds=_rounds(reached) if reached else None,
    )


def _rounds(reached: Reached) -> Rounds:
    return Rounds(result=reached.name, target=reached.target, workers=reached.workers)


def entry_of(
    sparsifier: Sparsifier, settings: CostSettings, device: str, reached: Reached | None
) -> Entry:
    """Find out what a sparsifier costs.

    Raises:
        ConfigurationError: If its hyper-parameters do not suit the gradients.
    """
    cell = cell_of(dict(record(sparsifier)))
    scale, encoding = scale_of(settings), Encoding.named(settings.encoding)
    if cell.algorithm == REFERENCE.name:
        found = whole_gradient(scale)
    else:
        found = footprint(sparsifier, scale, encoding, settings.sparsifier_time, device)
    summary = reached.find(cell) if reached else None
    return Entry(cell, found, summary is not None, rounds_of(summary))
