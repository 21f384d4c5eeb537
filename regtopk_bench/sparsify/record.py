"""A sparsifier as plain facts, which tell it apart from every other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
from torch import Tensor

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.sparsify.base import Sparsifier
from regtopk_bench.sparsify.catalogue import name_of_class
from regtopk_bench.sparsify.per_layer import PerLayer

Scalar = str | bool | int | float


def record(sparsifier: Sparsifier, *, lenient: bool = False) -> dict[str, Scalar]:
    """Return the name as `algorithm`, every hyper-parameter that is not None, and `scope`.

    Args:
        sparsifier: Any one.
        lenient: Give the beginning of its `repr` for a hyper-parameter that cannot be stored.

    Raises:
        ConfigurationError: If a hyper-parameter is neither a number, text, an array nor a list of
            numbers or text: nothing else can be stored and compared.
    """
    if not isinstance(sparsifier, Sparsifier):
        raise ConfigurationError(f"expected a sparsifier, not {shown(sparsifier)}")
    if isinstance(sparsifier, PerLayer):
        return record(sparsifier.sparsifier, lenient=lenient) | {"scope": "layer"}
    facts: dict[str, Scalar] = {"algorithm": name_of_class(type(sparsifier))}
    for declared in dataclasses.fields(sparsifier):
        value = getattr(sparsifier, declared.name)
        if value is not None:
            try:
                facts[declared.name] = _scalar(value, declared.name)
            except ConfigurationError:
                if not lenient:
                    raise
                facts[declared.name] = shown(value)
    return facts


def _scalar(value: Any, name: str) -> Scalar:
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Tensor | np.ndarray):
        array = np.ascontiguousarray(value.cpu().numpy() if isinstance(value, Tensor) else value)
        content = hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
        return f"{array.dtype} {array.shape} {content.hexdigest()[:16]}"
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"hyper-parameter {name} is of type {type(value).__name__}, which cannot be stored: "
            "use numbers, text, arrays, or lists of them"
        ) from None
