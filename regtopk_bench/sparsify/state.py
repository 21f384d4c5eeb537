"""What a sparsifier remembers, saved by the fields of its state."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.sparsify.placement import Placement

_NUMBER = "number."
"""What tells a number's rows, which are all equal, from those of a tensor."""


def unsaved(**options: Any) -> Any:
    """Declare a field that `init` recreates, or that only affects speed."""
    return dataclasses.field(metadata={"saved": False}, **options)


@dataclass(kw_only=True)
class State:
    """Base of all states: a dataclass whose fields are saved, except those marked `unsaved`.

    A field to be saved holds a tensor with a row for each worker hosted here, a number, None,
    or a list of further states.
    """

    placement: Placement = unsaved()


def rows_of(state: State) -> dict[str, Tensor]:
    """Return the saved fields as tensors with a row for each worker, (n, …).

    Raises:
        ConfigurationError: If a field holds something else, or there is more than the fields.
    """
    workers = len(state.placement.workers)
    undeclared = vars(state).keys() - {declared.name for declared in dataclasses.fields(state)}
    if undeclared:
        raise ConfigurationError(
            f"{type(state).__name__}.{min(undeclared)} is no field of the state's dataclass, and "
            "would be lost when a run is saved: declare it"
        )
    rows: dict[str, Tensor] = {}
    for name, value in _saved(state):
        match value:
            case None:
                pass
            case Tensor() if value.dim() and len(value) == workers:
                rows[name] = value
            case bool() | int() | float():
                kind = {bool: torch.bool, int: torch.int64}.get(type(value), torch.float64)
                rows[f"{_NUMBER}{name}"] = torch.full((workers,), value, dtype=kind)
            case [*states] if all(isinstance(each, State) for each in states):
                for number, each in enumerate(states):
                    rows |= {f"{name}.{number}.{own}": row for own, row in rows_of(each).items()}
            case _:
                raise ConfigurationError(
                    f"{type(state).__name__}.{name} cannot be saved: it is neither a number nor a "
                    f"tensor with a row for each of {workers} workers; declare it unsaved()"
                )
    return rows


def restore(state: State, rows: Mapping[str, Tensor]) -> None:
    """Set the saved fields of a fresh state to what `rows_of` returned.

    Raises:
        ConfigurationError: If the rows do not belong to such a state.
    """
    left = dict(rows)
    for name, value in _saved(state):
        if isinstance(value, list):
            for number, each in enumerate(value):
                start = f"{name}.{number}."
                own = [key for key in left if key.startswith(start)]
                restore(each, {key.removeprefix(start): left.pop(key) for key in own})
        elif name in left:
            row = left.pop(name)
            if isinstance(value, Tensor) and value.shape == row.shape:
                value.copy_(row)
            else:
                setattr(state, name, row.to(state.placement.device))
        elif f"{_NUMBER}{name}" in left:
            setattr(state, name, left.pop(f"{_NUMBER}{name}")[0].item())
        elif value is not None:
            raise ConfigurationError(
                f'a saved state lacks "{name}", which {type(state).__name__} has'
            )
    if left:
        raise ConfigurationError(
            f'a saved state has "{min(left)}", which {type(state).__name__} does not'
        )


def _saved(state: State) -> Iterator[tuple[str, Any]]:
    for declared in dataclasses.fields(state):
        if declared.metadata.get("saved", True):
            yield declared.name, getattr(state, declared.name)
