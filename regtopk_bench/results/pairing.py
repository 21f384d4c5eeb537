"""Two results next to each other: the values of the cells that both have, paired by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from regtopk_bench.results.baseline import BaselineCell, gated
from regtopk_bench.results.names import Cell, names
from regtopk_bench.results.schema import KernelCell, Run, TrainingCell
from regtopk_bench.results.summary import Estimate, estimate, log10
from regtopk_bench.results.values import Scalar

_IDENTIFY = ("workload", "distribution", "dim", "density")
"""Facts about a problem without which cells have nothing to do with each other."""


@dataclass(frozen=True)
class Measured:
    """A cell with its values, by name."""

    cell: Cell
    values: Mapping[str, float]


@dataclass(frozen=True)
class Line:
    """A value of a configuration in two results, as means over the seeds that both have."""

    name: str
    """The configuration."""
    metric: str
    first: float | None
    """None where the first result does not have it."""
    second: float | None
    difference: Estimate | None
    """Second minus first, paired by seed; None where one of them does not have it."""
    seeds: int
    same: bool
    """Whether both have it, and it is equal on every seed; so is what is no number in both."""


@dataclass(frozen=True)
class Pairing:
    """All lines, and what they leave out."""

    lines: list[Line]
    differing: dict[str, tuple[Scalar, Scalar]]
    """Facts in which all cells of one result differ from all of the other; pairs disregard them."""
    unpaired: list[tuple[str, list[int], list[int]]]
    """Configurations of both, with the seeds that only the first or only the second has."""


def measured(found: Run | BaselineCell) -> Measured:
    """Return the values of a run, or of a baseline's cell, that are compared.

    They are those that a baseline holds, with log10 of a gap, and a kernel's median of seconds.
    """
    if isinstance(found, Run):
        values = gated(found.metrics)
        if isinstance(found.cell, KernelCell):
            values["median_seconds"] = float(np.nanmedian(found.traces["seconds"]))
    else:
        values = {name: each.value for name, each in found.metrics.items()}
    gap = values.pop("gap", None)
    if gap is not None:
        values = {"log10_gap": float(log10(np.array(gap)))} | values
    return Measured(found.cell, values)


def paired(first: Sequence[Measured], second: Sequence[Measured]) -> Pairing:
    """Pair the cells of two results.

    Cells are paired if they are equal; so are those that differ only in facts, such as the learning
    rate, in which all cells of one result differ from all of the other.
    """
    differing = dict(_differing([each.cell for each in first], [each.cell for each in second]))
    ours, theirs = _by_group(first, differing), _by_group(second, differing)
    order = list(dict.fromkeys([*ours, *theirs]))
    one_each = {key: next(iter((ours.get(key) or theirs[key]).values())).cell for key in order}
    known = names(one_each.values())
    lines: list[Line] = []
    unpaired = []
    for key, cell in one_each.items():
        name, a, b = _without_seed(known[cell.key], cell), ours.get(key, {}), theirs.get(key, {})
        common = [seed for seed in a if seed in b]
        if common:
            lines += _both(name, [a[seed] for seed in common], [b[seed] for seed in common])
        else:
            lines += _alone(name, list(a.values()), second=False)
            lines += _alone(name, list(b.values()), second=True)
        if a and b and len(common) < max(len(a), len(b)):
            unpaired.append((name, [s for s in a if s not in b], [s for s in b if s not in a]))
    return Pairing(lines, differing, unpaired)


def _differing(
    first: Sequence[Cell], second: Sequence[Cell]
) -> Iterator[tuple[str, tuple[Scalar, Scalar]]]:
    if not first or not second:
        return
    every = {name for cell in (*first, *second) for name in _facts(cell)}
    for name in sorted(every.difference(_IDENTIFY)):
        ours, theirs = ({_facts(cell).get(name) for cell in side} for side in (first, second))
        if len(ours) == len(theirs) == 1 and ours != theirs:
            yield name, (ours.pop(), theirs.pop())


def _facts(cell: Cell) -> Mapping[str, Scalar]:
    return cell.problem | cell.recipe if isinstance(cell, TrainingCell) else cell.problem


def _by_group(
    found: Sequence[Measured], disregarded: Mapping[str, object]
) -> dict[str, dict[int, Measured]]:
    """Return cells without some facts by configuration and seed; a kernel's seed is 0."""

    def left(facts: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {name: value for name, value in facts.items() if name not in disregarded}

    groups: dict[str, dict[int, Measured]] = {}
    for each in found:
        cell: Cell = each.cell.model_copy(update={"problem": left(each.cell.problem)})
        if isinstance(cell, TrainingCell):
            cell = cell.model_copy(update={"recipe": left(cell.recipe)})
            groups.setdefault(cell.group, {})[cell.seed] = Measured(cell, each.values)
        else:
            groups.setdefault(cell.key, {})[0] = Measured(cell, each.values)
    return groups


def _without_seed(name: str, cell: Cell) -> str:
    return name.removesuffix(f"/seed={cell.seed}") if isinstance(cell, TrainingCell) else name


def _both(name: str, first: Sequence[Measured], second: Sequence[Measured]) -> Iterator[Line]:
    for metric in dict.fromkeys(metric for each in (*first, *second) for metric in each.values):
        pairs = [
            (a.values[metric], b.values[metric])
            for a, b in zip(first, second, strict=True)
            if metric in a.values and metric in b.values
        ]
        if not pairs:
            yield from _alone(name, first, second=False, only=metric)
            yield from _alone(name, second, second=True, only=metric)
            continue
        values_S2 = np.array(pairs, dtype=np.float64)
        change = estimate(values_S2[:, 1] - values_S2[:, 0])
        same = np.array_equal(values_S2[:, 0], values_S2[:, 1], equal_nan=True)
        a, b = map(float, values_S2.mean(axis=0))
        yield Line(name, metric, a, b, change, len(pairs), same)


def _alone(
    name: str, found: Sequence[Measured], *, second: bool, only: str | None = None
) -> Iterator[Line]:
    """Yield the values that only one of the results has."""
    metrics = [only] if only else dict.fromkeys(metric for each in found for metric in each.values)
    for metric in metrics:
        values = [each.values[metric] for each in found if metric in each.values]
        if values:
            mean = float(np.mean(values))
            first, other = (None, mean) if second else (mean, None)
            yield Line(name, metric, first, other, None, len(values), same=False)
