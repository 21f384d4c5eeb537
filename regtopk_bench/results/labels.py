"""The names of algorithms in rows and legends, distinct within a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from regtopk_bench.algorithms import ALGORITHMS
from regtopk_bench.results.schema import TrainingCell
from regtopk_bench.results.values import Scalar

_OWN_COLUMN = ("algorithm", "density", "k")
"""Facts about a sparsifier that tables show in their own columns."""


@dataclass(frozen=True)
class Label:
    """The name of a configuration among the others of its result."""

    algorithm: str
    """The full name."""

    short: str
    """The name; a dotted one without its packages, unless another has the same last part."""

    differing: tuple[str, ...] = ()
    """`name=value` of parameters in which the result's configurations of this algorithm differ."""

    def __str__(self) -> str:
        """Return the name of a row, such as `regtopk` or `regtopk:mu=8`."""
        return ":".join(filter(None, (self.short, ",".join(self.differing))))

    @property
    def legend(self) -> str:
        """The name in a plot, such as `RegTop-k` or `RegTop-k, mu=8`."""
        known = ALGORITHMS.get(self.algorithm)
        return ", ".join((known.label if known else self.short, *self.differing))


def labels(cells: Iterable[TrainingCell]) -> dict[str, Label]:
    """Return the label of every configuration, by its cells' `group`."""
    distinct = {cell.group: cell for cell in cells}
    short = _short_names({cell.algorithm for cell in distinct.values()})
    varying = {name: _varying(distinct.values(), name) for name in short}
    return {
        group: Label(
            cell.algorithm,
            short[cell.algorithm],
            tuple(
                written(name, value)
                for name, value in parameters(cell).items()
                if name in varying[cell.algorithm]
            ),
        )
        for group, cell in distinct.items()
    }


def common_parameters(cells: Iterable[TrainingCell]) -> dict[str, dict[str, Scalar]]:
    """Return the parameters that all configurations of an algorithm share, by its name."""
    distinct = list(cells)
    found: dict[str, dict[str, Scalar]] = {}
    for cell in distinct:
        varying = _varying(distinct, cell.algorithm)
        own = {name: value for name, value in parameters(cell).items() if name not in varying}
        found.setdefault(cell.algorithm, own)
    return found


def parameters(cell: TrainingCell) -> dict[str, Scalar]:
    """Return the hyper-parameters of a cell's sparsifier besides its density."""
    return {name: value for name, value in cell.sparsifier.items() if name not in _OWN_COLUMN}


def written(name: str, value: Scalar) -> str:
    """Return a parameter as the command line takes it, with as few digits as needed."""
    text = str(value)
    if isinstance(value, float) and float(f"{value:g}") == value:
        text = f"{value:g}"
    return f"{name}={text}"


def _varying(cells: Iterable[TrainingCell], algorithm: str) -> set[str]:
    """Return the parameters in which cells of one algorithm differ, or that only some have."""
    own = [parameters(cell) for cell in cells if cell.algorithm == algorithm]
    names = {name for each in own for name in each}
    return {name for name in names if len({each.get(name) for each in own}) > 1}


def _short_names(names: Iterable[str]) -> Mapping[str, str]:
    """Return the shortest unique name of each algorithm."""
    full = set(names)
    last = {name: name.rpartition(".")[2] for name in full - set(ALGORITHMS)}
    taken = [*ALGORITHMS, *last.values()]
    short = {name: part if taken.count(part) == 1 else name for name, part in last.items()}
    return {name: short.get(name, name) for name in full}
