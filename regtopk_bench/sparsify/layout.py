"""What of a state outlives a change of the gradient's layout.

In distributed training the tensors whose gradients are sparsified together may be grouped anew, k
may change, and a run may go on with more workers, or fewer. What a state saves is of three kinds:

- *entries*: tensors of floats with an entry for each of the J parameters, such as the residual.
  They are cut by parameter and laid out anew, and nothing is lost.
- *numbers*, such as the count of rounds, which hold for any layout.
- *memory*: all else, and what is declared `restarting`. It starts anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from regtopk_bench.sparsify.state import Number, State, number_row, restore, rows_of, saved_fields


def entries_of(state: State) -> dict[str, Tensor]:
    """Return the entries by name, (n, J, …); those of states for each layer side by side."""
    entries: dict[str, Tensor] = {}
    for declared, value in saved_fields(state):
        if isinstance(value, list):
            layers = [entries_of(each) for each in value]
            for name in layers[0]:
                entries[f"{declared.name}.{name}"] = torch.cat([own[name] for own in layers], dim=1)
        elif _has_entries(state, declared, value):
            entries[declared.name] = value
    return entries


def numbers_of(state: State) -> dict[str, Number]:
    """Return the numbers by name; states for each layer have the same."""
    numbers: dict[str, Number] = {}
    for declared, value in saved_fields(state):
        if isinstance(value, list):
            numbers |= _prefixed(declared.name, numbers_of(value[0]))
        elif isinstance(value, Number):
            numbers[declared.name] = value
    return numbers


def memory_of(state: State) -> dict[str, Tensor]:
    """Return the rows, as `rows_of` names them, that are neither entries nor numbers."""
    rows: dict[str, Tensor] = {}
    for declared, value in saved_fields(state):
        if isinstance(value, list):
            for number, each in enumerate(value):
                rows |= _prefixed(f"{declared.name}.{number}", memory_of(each))
        elif isinstance(value, Tensor) and not _has_entries(state, declared, value):
            rows[declared.name] = value
    return rows


def lay(
    state: State,
    entries: Mapping[str, Tensor],
    numbers: Mapping[str, Number],
    memory: Mapping[str, Tensor] | None = None,
) -> None:
    """Give a fresh state entries and numbers, and its memory where layout and k are the same.

    Raises:
        ConfigurationError: If they do not belong to such a state, which is then of no use.
    """
    restore(state, rows_of(state) | _rows(state, entries, numbers) | dict(memory or {}))


def _rows(
    state: State, entries: Mapping[str, Tensor], numbers: Mapping[str, Number]
) -> dict[str, Tensor]:
    """Return entries and numbers as `rows_of` names them."""
    rows: dict[str, Tensor] = {}
    for declared, value in saved_fields(state):
        name = declared.name
        if isinstance(value, list):
            own, start = _within(name, entries), 0
            for number, each in enumerate(value):
                stop = start + each.placement.dim
                part = {field: row[:, start:stop] for field, row in own.items()}
                inner = _rows(each, part, _within(name, numbers))
                rows |= _prefixed(f"{name}.{number}", inner)
                start = stop
        elif name in entries:
            rows[name] = entries[name]
        elif name in numbers:
            rows |= number_row(name, numbers[name], len(state.placement.workers))
    return rows


def _has_entries(state: State, declared: dataclasses.Field[Any], value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.shape[:2] == state.placement.gradients_shape
        and not declared.metadata.get("restarts", False)
    )


def _prefixed(name: str, inner: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}.{own}": value for own, value in inner.items()}


def _within(name: str, outer: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{name}."
    return {own.removeprefix(start): value for own, value in outer.items() if own.startswith(start)}
