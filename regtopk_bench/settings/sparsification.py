"""The panel Sparsification: which algorithms are compared, and how much they send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from regtopk_bench.algorithms import parse_spec
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings.declare import Group, setting
from regtopk_bench.settings.kinds import Algorithms, Count, Density


@dataclass(frozen=True, kw_only=True)
class SparsificationSettings(Group, panel="Sparsification", decides=True):
    """The algorithms with their hyper-parameters, and how much of a gradient they keep."""

    algorithm: Algorithms = setting(
        tuple(map(parse_spec, ("dense", "topk", "regtopk:mu=4", "randomk", "oracle"))),
        "Algorithm to run, repeatable, with its parameters as in regtopk:mu=5: {choices}, or a "
        "class by its dotted name.",
        short="-a",
    )
    density: tuple[Density, ...] = setting(
        (0.4, 0.6), "Fraction of entries kept, k/J, repeatable.", short="-d"
    )
    k: tuple[Count, ...] = setting(
        (), "Entries per message, instead of a density, repeatable.", short="-k"
    )
    encoding: Literal["coordinates", "compact"] = setting(
        "coordinates",
        "How messages are written, whose bytes are counted: coordinates, 4 bytes for an index; "
        "compact, the bits of its distance from the one before, and a checksum.",
    )


@dataclass(frozen=True, kw_only=True)
class ScopedSparsification(SparsificationSettings):
    """Sparsification of a gradient made up of several tensors."""

    scope: Literal["global", "layer"] = setting(
        "global",
        "Where the k largest are selected: global, in the whole gradient; layer, in each tensor.",
    )

    def __post_init__(self) -> None:
        """Check constraints across settings."""
        super().__post_init__()
        if self.k and self.scope == "layer":
            raise ConfigurationError("--k with --scope layer: give a --density, as layers differ")
