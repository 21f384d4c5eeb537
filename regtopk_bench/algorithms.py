"""The algorithms by name: one row each, for the command line, plots, help, documents and tests.

Nothing here imports PyTorch. A name is that of a row, of an entry point in the group
`regtopk_bench.algorithms`, or a class's dotted name, as in `mypackage.sparsifiers.Mine`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final

from regtopk_bench.errors import suggest

ENTRY_POINTS = "regtopk_bench.algorithms"

Dash = tuple[float, ...]
"""Lengths of strokes and gaps in units of the line width; empty for a solid line."""


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """One row: what is known about an algorithm without importing it."""

    name: str
    """Its name on the command line and in results."""

    label: str
    """Its name in plots and sentences."""

    colour: str
    """Colour of its curve; with the dash, distinct in any colour vision (Okabe & Ito's palette)."""

    dash: Dash = ()

    home: str
    """The location of its class, as `package.module:Class`."""

    achievable: bool = True
    """False for a bound that no real system can reach."""


_ROWS = (
    Algorithm(
        name="dense",
        label="dense",
        colour="#000000",
        dash=(1, 1.2),
        home="regtopk_bench.sparsify.dense:Dense",
    ),
    Algorithm(
        name="topk",
        label="Top-k",
        colour="#D55E00",
        dash=(5, 1.5),
        home="regtopk_bench.sparsify.topk:TopK",
    ),
    Algorithm(
        name="regtopk",
        label="RegTop-k",
        colour="#0072B2",
        home="regtopk_bench.sparsify.regtopk:RegTopK",
    ),
    Algorithm(
        name="randomk",
        label="Random-k",
        colour="#CC79A7",
        dash=(3, 1, 1, 1),
        home="regtopk_bench.sparsify.randomk:RandomK",
    ),
    Algorithm(
        name="oracle",
        label="oracle",
        colour="#009E73",
        dash=(7, 2, 1, 2),
        home="regtopk_bench.sparsify.oracle:Oracle",
        achievable=False,
    ),
)

ALGORITHMS: Mapping[str, Algorithm] = {row.name: row for row in _ROWS}
"""The algorithms that come with the package, in the order in which help lists them."""

REFERENCE: Final = ALGORITHMS["dense"]
"""Sends whole gradients: what it costs to send less is compared with what this one costs."""

_SPARE_COLOURS = ("#E69F00", "#56B4E9", "#8C564B", "#7F7F7F")
_SPARE_DASHES: tuple[Dash, ...] = ((), (4, 1), (2, 1), (6, 1, 2, 1))


def algorithm(name: str) -> Algorithm:
    """Return an algorithm's row; for one from another package, a row derived from its name.

    Results outlive the packages they name, so this never fails and never imports one.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    spare = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2])
    return Algorithm(
        name=name,
        label=name.rpartition(".")[2],
        colour=_SPARE_COLOURS[spare % len(_SPARE_COLOURS)],
        dash=_SPARE_DASHES[spare // len(_SPARE_COLOURS) % len(_SPARE_DASHES)],
        home=_from_outside().get(name) or ":".join(name.rsplit(".", 1)),
    )


def name_of(home: str) -> str:
    """Return the name of the algorithm whose class is at `package.module:Class`."""
    names = {row.home: row.name for row in _ROWS}
    names |= {where: name for name, where in _from_outside().items() if name not in ALGORITHMS}
    return names.get(home) or home.replace(":", ".")


@functools.cache
def _from_outside() -> dict[str, str]:
    """Return the locations of the algorithms that other packages provide, by name."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


@dataclass(frozen=True)
class AlgorithmSpec:
    """An algorithm with its hyper-parameters as text: `regtopk:mu=4,q=1e8`."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return the text that `parse_spec` reads."""
        values = ",".join(f"{name}={value}" for name, value in self.parameters)
        return f"{self.name}:{values}" if values else self.name


def parse_spec(text: str) -> AlgorithmSpec:
    """Read `name` or `name:parameter=value,…`.

    Whether the algorithm has these parameters is checked once its class is loaded.

    Raises:
        ValueError: If the name is unknown or the rest is malformed.
    """
    name, colon, rest = text.strip().partition(":")
    dotted = "." in name and all(part.isidentifier() for part in name.split("."))
    if not (name in ALGORITHMS or dotted or name in _from_outside()):
        known = [*ALGORITHMS, *_from_outside()]
        raise ValueError(f'unknown value "{name}"{suggest(name, known)}')
    parameters: dict[str, str] = {}
    for part in rest.split(",") if colon else []:
        parameter, equals, value = (each.strip() for each in part.partition("="))
        if not (parameter and equals and value):
            raise ValueError(f'"{part}" in "{text}" is not of the form parameter=value')
        if parameter in parameters:
            raise ValueError(f'"{text}" gives {parameter} twice')
        parameters[parameter] = value
    return AlgorithmSpec(name, tuple(parameters.items()))


def split_specs(text: str) -> list[str]:
    """Split `dense,regtopk:mu=4,q=1e8,topk` at the commas between specifications."""
    specs: list[str] = []
    for part in text.split(","):
        if specs and "=" in part and ":" not in part.partition("=")[0]:
            specs[-1] += f",{part}"
        else:
            specs.append(part)
    return specs
