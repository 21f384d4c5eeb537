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
        ConfigurationError: If a field holds something else.
    """
    workers = len(state.placement.workers)
    rows: dict[str, Tensor] = {}
    for name, value in _saved(state):
        match value:
            case None:
                pass
            case Tensor() if value.dim() and len(value) == workers:
                rows[name] = value
            case bool() | int() | float():
                rows[name] = torch.full((workers,), value)
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
    names: set[str] = set()
    for name, value in _saved(state):
        if isinstance(value, list):
            for number, each in enumerate(value):
                start = f"{name}.{number}."
                own = {key: row for key, row in rows.items() if key.startswith(start)}
                restore(each, {key.removeprefix(start): row for key, row in own.items()})
                names |= own.keys()
        elif name in rows:
            names.add(name)
            _set(state, name, value, rows[name])
    unknown = rows.keys() - names
    if unknown:
        raise ConfigurationError(
            f'a saved state has "{min(unknown)}", which {type(state).__name__} does not'
        )


def _saved(state: State) -> Iterator[tuple[str, Any]]:
    for declared in dataclasses.fields(state):
        if declared.metadata.get("saved", True):
            yield declared.name, getattr(state, declared.name)


def _set(state: State, name: str, value: Any, row: Tensor) -> None:
    if isinstance(value, Tensor) and value.shape == row.shape:
        value.copy_(row)
    elif isinstance(value, bool | int | float):
        setattr(state, name, type(value)(row[0].item()))
    else:
        setattr(state, name, row.to(state.placement.device))
