"""The names by which algorithms are known on the command line and in results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.sparsify.base import Sparsifier
from regtopk_bench.sparsify.dense import Dense
from regtopk_bench.sparsify.oracle import Oracle
from regtopk_bench.sparsify.randomk import RandomK
from regtopk_bench.sparsify.regtopk import RegTopK
from regtopk_bench.sparsify.topk import TopK


@dataclass(frozen=True)
class Algorithm:
    """One row of the registry."""

    sparsifier: type[Sparsifier]
    """Its class, a frozen dataclass of its hyper-parameters."""

    achievable: bool = True
    """False for a bound that no real system can run."""

    def make(self, settings: Mapping[str, Any]) -> Sparsifier:
        """Build the sparsifier from those of the settings that it has a field for."""
        names = {field.name for field in fields(self.sparsifier)}
        return self.sparsifier(**{name: settings[name] for name in names & settings.keys()})

    @property
    def sparse(self) -> bool:
        """Whether a density applies to it."""
        return self.sparsifier is not Dense


ALGORITHMS: Mapping[str, Algorithm] = {
    "dense": Algorithm(Dense),
    "topk": Algorithm(TopK),
    "regtopk": Algorithm(RegTopK),
    "randomk": Algorithm(RandomK),
    "oracle": Algorithm(Oracle, achievable=False),
}


def algorithm(name: str) -> Algorithm:
    """Look a name up; raise ConfigurationError with the nearest name for an unknown one."""
    try:
        return ALGORITHMS[name]
    except KeyError:
        raise ConfigurationError(f'unknown algorithm "{name}"{suggest(name, ALGORITHMS)}') from None
