"""From the settings of a comparison to its sparsifiers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from regtopk_bench.results import Scalar
from regtopk_bench.settings import ComparisonSettings
from regtopk_bench.sparsify import Sparsifier, algorithm


@dataclass(frozen=True)
class Configured:
    """An algorithm with its hyper-parameters, but for the seed and the size of the problem."""

    name: str
    hyper_parameters: dict[str, Any]

    def make(self, seed: int) -> Sparsifier:
        """Return the sparsifier for a seed."""
        return algorithm(self.name).make(self.hyper_parameters | {"seed": seed})

    def cell(self, seed: int, dim: int) -> dict[str, Scalar]:
        """Return what a result says about it: its name, density and hyper-parameters."""
        used = {key: value for key, value in asdict(self.make(seed)).items() if value is not None}
        k = used.pop("k", None)
        used.setdefault("density", k / dim if k else 1.0)
        return {"algorithm": self.name, **used, "seed": seed}


def configured(settings: ComparisonSettings) -> Iterator[Configured]:
    """Yield every algorithm at every density, in the order of the table."""
    shared = {"mu": settings.mu, "q": settings.q, "denominator": settings.denominator}
    budgets: list[dict[str, Any]] = [{"k": k} for k in settings.k]
    budgets = budgets or [{"density": density} for density in settings.density]
    for name in settings.algorithm:
        if not algorithm(name).sparse:
            yield Configured(name, {})
    for budget in budgets:
        for name in settings.algorithm:
            if algorithm(name).sparse:
                yield Configured(name, shared | budget)
