"""What a sparsifier remembers, saved by the fields of its state."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels import check_tensor
from regtopk_bench.sparsify.placement import Placement

Number = bool | int | float

_NUMBER = "number."
"""What tells a number's rows, which are all equal, from those of a tensor."""


def unsaved(**options: Any) -> Any:
    """Declare a field that `init` recreates, or that only affects speed."""
    return dataclasses.field(metadata={"saved": False}, **options)


def restarting(**options: Any) -> Any:
    """Declare a field that is saved, but of no use once the gradient's entries are laid out anew.

    Where that happens, and what becomes of all other fields, is in `sparsify.layout`.
    """
    return dataclasses.field(metadata={"restarts": True}, **options)


@dataclass(kw_only=True)
class State:
    """Base of all states: a dataclass whose fields are saved, except those marked `unsaved`.

    A field to be saved holds a tensor with a row for each worker hosted here, a number, None,
    or a list of further states. A tensor that `init` makes keeps its shape and dtype; one whose
    shape varies is None at first.
    """

    placement: Placement = unsaved()

    def check(self) -> None:
        """Raise ConfigurationError if what was restored cannot be the state after some round."""


S = TypeVar("S", bound=State)


def own(state: Any, kind: type[S], sparsifier: object) -> S:
    """Return the state, which is of the kind that the sparsifier's `init` makes.

    Raises:
        ConfigurationError: If it is not.
    """
    if isinstance(state, kind):
        return state
    raise ConfigurationError(
        f"{type(sparsifier).__name__} was given a {type(state).__name__}: expected the "
        f"{kind.__name__} that its init returns"
    )


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
    for name, value in _named(state):
        match value:
            case None:
                pass
            case Tensor() if value.dim() and len(value) == workers:
                rows[name] = value
            case bool() | int() | float():
                rows |= number_row(name, value, workers)
            case [*states] if all(isinstance(each, State) for each in states):
                for number, each in enumerate(states):
                    rows |= {f"{name}.{number}.{own}": row for own, row in rows_of(each).items()}
            case _:
                raise ConfigurationError(
                    f"{type(state).__name__}.{name} cannot be saved: it is neither a number nor a "
                    f"tensor with a row for each of {workers} workers; declare it unsaved()"
                )
    return rows


def number_row(name: str, number: Number, workers: int) -> dict[str, Tensor]:
    """Return a number as the row of each of some workers."""
    kind = {bool: torch.bool, int: torch.int64}.get(type(number), torch.float64)
    return {f"{_NUMBER}{name}": torch.full((workers,), number, dtype=kind)}


def restore(state: State, rows: Mapping[str, Tensor]) -> None:
    """Set the saved fields of a fresh state to what `rows_of` returned.

    Raises:
        ConfigurationError: If the rows do not belong to such a state.
    """
    if not isinstance(rows, Mapping):
        raise ConfigurationError(f"a saved state is a mapping, not a {type(rows).__name__}")
    left = {str(name): row for name, row in rows.items()}
    for name, row in left.items():
        _check_row(row, name, state.placement)
    for name, value in _named(state):
        if isinstance(value, list):
            for number, each in enumerate(value):
                start = f"{name}.{number}."
                own = [key for key in left if key.startswith(start)]
                restore(each, {key.removeprefix(start): left.pop(key) for key in own})
        elif name in left:
            row = left.pop(name)
            if isinstance(value, Tensor):
                check_tensor(row, f'saved "{name}"', value.shape, value.dtype, row.device)
                value.copy_(row)
            elif value is None:
                setattr(state, name, row.to(state.placement.device))
            else:
                raise ConfigurationError(f'saved "{name}" is a tensor, and no number')
        elif f"{_NUMBER}{name}" in left and not isinstance(value, Tensor):
            setattr(state, name, _number(left.pop(f"{_NUMBER}{name}"), name))
        elif value is not None:
            raise ConfigurationError(
                f'a saved state lacks "{name}", which {type(state).__name__} has'
            )
    if left:
        raise ConfigurationError(
            f'a saved state has "{min(left)}", which {type(state).__name__} does not'
        )
    state.check()


def _check_row(row: Any, name: str, placement: Placement) -> None:
    """Raise ConfigurationError unless a tensor has a row for each worker."""
    if not isinstance(row, Tensor) or row.is_nested or row.is_meta or not row.dim():
        raise ConfigurationError(f'saved "{name}" is not a tensor with a row for each worker')
    shape = (len(placement.workers), *row.shape[1:])
    check_tensor(row, f'saved "{name}"', shape, row.dtype, row.device)


def _number(row_N: Tensor, name: str) -> Any:
    """Return the number that all rows hold."""
    numbers = row_N.tolist()
    if row_N.dim() != 1 or row_N.is_complex() or len({repr(number) for number in numbers}) != 1:
        raise ConfigurationError(f'saved "{name}" is not the same number for all workers')
    return numbers[0]


def saved_fields(state: State) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """Yield the fields that are saved, and what they hold."""
    for declared in dataclasses.fields(state):
        if declared.metadata.get("saved", True):
            yield declared, getattr(state, declared.name)


def _named(state: State) -> Iterator[tuple[str, Any]]:
    return ((declared.name, value) for declared, value in saved_fields(state))
