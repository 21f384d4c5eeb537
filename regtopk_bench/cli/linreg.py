"""`regtopk-bench linreg`: distributed linear regression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch

from regtopk_bench.cli.experiment import Cell, Experiment, OnRound
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.results import Scalar
from regtopk_bench.settings import LinregSettings
from regtopk_bench.sparsify import Sparsifier, algorithm
from regtopk_bench.training import Trace, simulate
from regtopk_bench.workloads import LinearRegression

_PROBLEM = ("workers", "samples", "dim", "mean_variance", "model_variance", "noise_variance")


def run_linreg(invocation: Invocation) -> None:
    """Run every algorithm at every density on every seed."""
    settings: LinregSettings = invocation.resolved.settings
    plan = list(_configurations(settings))
    total_rounds = len(plan) * len(settings.seeds) * settings.rounds
    Experiment(invocation, "linreg").run(_cells(settings, plan), total_rounds)


def _configurations(settings: LinregSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every algorithm with its hyper-parameters, in the order of the table."""
    shared = {"mu": settings.mu, "q": settings.q, "denominator": settings.denominator}
    budgets: list[dict[str, Any]] = [{"k": k} for k in settings.k]
    budgets = budgets or [{"density": density} for density in settings.density]
    for name in settings.algorithm:
        if not algorithm(name).sparse:
            yield name, {}
    for budget in budgets:
        for name in settings.algorithm:
            if algorithm(name).sparse:
                yield name, shared | budget


def _cells(settings: LinregSettings, plan: list[tuple[str, dict[str, Any]]]) -> Iterator[Cell]:
    problem: dict[str, Any] = {name: getattr(settings, name) for name in _PROBLEM}
    dtype = getattr(torch, settings.dtype)
    for seed in settings.seeds:
        workload = LinearRegression.synthetic(**problem, seed=seed, dtype=dtype)
        for name, hyper_parameters in plan:
            sparsifier = algorithm(name).make(hyper_parameters | {"seed": seed})
            used = {key: value for key, value in asdict(sparsifier).items() if value is not None}
            k = used.pop("k", None)
            used.setdefault("density", k / settings.dim if k else 1.0)
            configuration: dict[str, Scalar] = {"algorithm": name, **used, "seed": seed, **problem}
            configuration |= {"dtype": settings.dtype, "rounds": settings.rounds}
            configuration |= {"learning_rate": settings.learning_rate}

            def run(
                on_round: OnRound | None,
                workload: LinearRegression = workload,
                sparsifier: Sparsifier = sparsifier,
                seed: int = seed,
            ) -> Trace:
                return simulate(
                    workload,
                    sparsifier,
                    rounds=settings.rounds,
                    learning_rate=settings.learning_rate,
                    processes=settings.processes,
                    seed=seed,
                    on_round=on_round,
                )

            yield Cell(configuration, settings.rounds, run)
