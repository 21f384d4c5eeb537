"""Claims of a suite: what must hold between the results of its algorithms, whatever the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from regtopk_bench.algorithms import AlgorithmSpec, algorithm
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings.declare import Group, setting
from regtopk_bench.settings.kinds import Algorithm, Density, Name, Number


@dataclass(frozen=True, kw_only=True)
class Claim(Group, panel="Problem", decides=True):
    """The metric of one algorithm stays so many decades below that of another, on every seed."""

    workload: Literal["linreg", "cifar", "toy"] = setting("linreg", "Workload: {choices}.")
    metric: Name = setting("gap", "Metric, of which smaller is better; its last value is compared.")
    algorithm: Algorithm | None = setting(None, "The algorithm that the claim is about.")
    below: Algorithm | None = setting(None, "The algorithm that it is compared with.")
    density: Density | None = setting(None, "The density of those that have one.")
    decades: Number = setting(0.0, "How far below, in log10; negative: how far above it may be.")

    def __post_init__(self) -> None:
        """Check constraints across settings."""
        super().__post_init__()
        for name in ("algorithm", "below"):
            if getattr(self, name) is None:
                raise ConfigurationError(f"{name} is missing: a claim compares two algorithms")

    @property
    def pair(self) -> tuple[AlgorithmSpec, AlgorithmSpec]:
        """The two algorithms: the one that the claim is about, and the one it is compared with."""
        assert self.algorithm is not None
        assert self.below is not None
        return self.algorithm, self.below

    def __str__(self) -> str:
        """State the claim in a sentence without a full stop."""
        ours, theirs = (_named(spec) for spec in self.pair)
        where = "" if self.density is None else f" at density {self.density:g}"
        if self.decades >= 0.0:
            how = f"is at least {self.decades:g} decades below that of {theirs}"
        else:
            how = f"is at most {-self.decades:g} decades above that of {theirs}"
        return f"the {self.metric} of {ours}{where} {how}"


def _named(spec: AlgorithmSpec) -> str:
    values = ", ".join(f"{name}={value}" for name, value in spec.parameters)
    label = algorithm(spec.name).label
    return f"{label} ({values})" if values else label
