"""`regtopk-bench toy`: the motivational example."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict

from regtopk_bench.cli.experiment import Cell, Experiment
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.results import Scalar
from regtopk_bench.settings import ToySettings
from regtopk_bench.sparsify import algorithm
from regtopk_bench.training import simulate
from regtopk_bench.workloads import LogisticToy


def run_toy(invocation: Invocation) -> None:
    """Run dense, Top-k and RegTop-k with k = 1 on two cancelling workers."""
    settings: ToySettings = invocation.resolved.settings
    Experiment(invocation, "toy").run(_cells(settings), 3 * settings.rounds)


def _cells(settings: ToySettings) -> Iterator[Cell]:
    hyper_parameters = asdict(settings) | {"density": None, "k": 1}
    for name in ("dense", "topk", "regtopk"):
        sparsifier = algorithm(name).make(hyper_parameters)
        used = {key: value for key, value in asdict(sparsifier).items() if value is not None}
        configuration: dict[str, Scalar] = {"algorithm": name, **used, "rounds": settings.rounds}
        configuration |= {"learning_rate": settings.learning_rate}

        run = functools.partial(
            simulate,
            LogisticToy(),
            sparsifier,
            rounds=settings.rounds,
            learning_rate=settings.learning_rate,
            processes=1,
        )
        yield Cell(configuration, settings.rounds, run)
