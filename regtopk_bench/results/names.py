"""Names of cells for people: `linreg/regtopk/density=0.6/seed=0`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from regtopk_bench.results.labels import labels
from regtopk_bench.results.schema import KernelCell, TrainingCell

Cell = TrainingCell | KernelCell


def names(cells: Iterable[Cell]) -> dict[str, str]:
    """Return the name of every cell by its key, distinct among these cells."""
    distinct = {cell.key: cell for cell in cells}
    found = {key: "/".join(_kernel(cell)) for key, cell in distinct.items() if _is_kernel(cell)}
    training = [cell for cell in distinct.values() if isinstance(cell, TrainingCell)]
    for workload in dict.fromkeys(cell.problem["workload"] for cell in training):
        own = [cell for cell in training if cell.problem["workload"] == workload]
        labelled = labels(own)
        for cell in own:
            label = str(labelled[cell.group])
            found[cell.key] = "/".join([str(workload), label, *_training(cell)])
    again = Counter(found.values())
    ordered = {key: found[key] for key in distinct}
    return {key: name if again[name] == 1 else f"{name}/{key[:6]}" for key, name in ordered.items()}


def differences(one: Cell, other: Cell) -> Iterator[tuple[str, object, object]]:
    """Yield the facts in which two cells differ: name, one's value, the other's."""
    parts, others = one.model_dump(), other.model_dump()
    for part in parts.keys() | others.keys():
        ours, theirs = parts.get(part), others.get(part)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            for name in sorted(ours.keys() | theirs.keys()):
                if ours.get(name) != theirs.get(name):
                    yield name, ours.get(name), theirs.get(name)
        elif ours != theirs:
            yield part, ours, theirs


def _is_kernel(cell: Cell) -> bool:
    return isinstance(cell, KernelCell)


def _training(cell: TrainingCell) -> Iterator[str]:
    for name in ("density", "k"):
        if name in cell.sparsifier:
            yield f"{name}={_short(cell.sparsifier[name])}"
    if "scope" in cell.sparsifier:
        yield f"scope={cell.sparsifier['scope']}"
    yield f"seed={cell.seed}"


def _kernel(cell: Cell) -> Iterator[str]:
    assert isinstance(cell, KernelCell)
    facts = cell.candidate
    yield "kernels"
    yield str(facts["operation"])
    yield ", ".join(str(facts[name]) for name in ("implementation", "case") if facts[name])
    yield str(cell.problem["distribution"])
    yield f"J={cell.problem['dim']}"
    yield f"density={_short(cell.problem.get('density'))}"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
