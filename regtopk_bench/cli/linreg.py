"""`regtopk-bench linreg`: distributed linear regression."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from regtopk_bench.cli.algorithms import Configured, configured
from regtopk_bench.cli.experiment import Cell, Experiment
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.settings import LinregSettings
from regtopk_bench.training import simulate
from regtopk_bench.workloads import LinearRegression

_PROBLEM = ("workers", "samples", "dim", "mean_variance", "model_variance", "noise_variance")
_TRAINING = ("dtype", "rounds", "learning_rate")


def run_linreg(invocation: Invocation) -> None:
    """Run every algorithm at every density on every seed."""
    settings: LinregSettings = invocation.resolved.settings
    plan = list(configured(settings))
    total_rounds = len(plan) * len(settings.seeds) * settings.rounds
    Experiment(invocation, "linreg").run(_cells(settings, plan), total_rounds)


def _cells(settings: LinregSettings, plan: Sequence[Configured]) -> Iterator[Cell]:
    problem: dict[str, Any] = {name: getattr(settings, name) for name in _PROBLEM}
    training: dict[str, Any] = {name: getattr(settings, name) for name in _TRAINING}
    dtype = getattr(torch, settings.dtype)
    for seed in settings.seeds:
        workload = LinearRegression.synthetic(**problem, seed=seed, dtype=dtype)
        for each in plan:
            yield Cell(
                each.cell(seed, settings.dim) | problem | training,
                settings.rounds,
                functools.partial(
                    simulate,
                    workload,
                    each.make(seed),
                    rounds=settings.rounds,
                    learning_rate=settings.learning_rate,
                    processes=settings.processes,
                    seed=seed,
                ),
            )
