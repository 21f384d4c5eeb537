"""From the name of an algorithm to its class, and from text to its hyper-parameters."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union

from regtopk_bench.algorithms import AlgorithmSpec, algorithm, name_of
from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.sparsify.base import Sparsifier, check_declared

_RESERVED = {"algorithm", "scope"}
"""What results say about every sparsifier, under these names."""

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@functools.cache
def sparsifier_class(name: str) -> type[Sparsifier]:
    """Import the class of an algorithm: a row's, an entry point's, or one by its dotted name.

    Raises:
        ConfigurationError: If it cannot be imported, or is not a sparsifier.
    """
    module, _, attribute = algorithm(name).home.partition(":")
    found = _imported(name, module)
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise ConfigurationError(
            f'algorithm "{name}": module {module} has no {attribute}'
        ) from None
    if not (isinstance(found, type) and issubclass(found, Sparsifier) and is_dataclass(found)):
        raise ConfigurationError(
            f'algorithm "{name}" is not a dataclass derived from regtopk_bench.Sparsifier'
        )
    check_declared(found)
    taken = _RESERVED & {declared.name for declared in fields(found)}
    if taken:
        raise ConfigurationError(
            f'algorithm "{name}" has a hyper-parameter "{min(taken)}", a name that is reserved'
        )
    _found_as.setdefault(found, name)
    return found


_found_as: dict[type[Sparsifier], str] = {}
"""By which name each class was asked for: a package may offer it elsewhere than it defines it."""


def name_of_class(sparsifier: type[Sparsifier]) -> str:
    """Return the name by which `sparsifier_class` finds a class."""
    dotted = f"{sparsifier.__module__}.{sparsifier.__qualname__}"
    name = name_of(f"{sparsifier.__module__}:{sparsifier.__qualname__}")
    return _found_as.get(sparsifier, dotted) if name == dotted else name


def takes_density(sparsifier: type[Sparsifier]) -> bool:
    """Tell whether a density can be chosen for an algorithm."""
    return any(declared.name == "density" for declared in fields(sparsifier))


def make(spec: AlgorithmSpec, **chosen: Any) -> Sparsifier:
    """Build the sparsifier that a specification describes.

    Args:
        spec: The algorithm with hyper-parameters as text.
        chosen: Further hyper-parameters, as values.

    Raises:
        ConfigurationError: If a hyper-parameter is unknown, listing those that exist, or if a
            value is invalid, saying why.
    """
    made_by = sparsifier_class(spec.name)
    known = [each.name for each in fields(made_by) if each.init]
    values: dict[str, Any] = {}
    for parameter, text in spec.parameters:
        if parameter not in known:
            raise ConfigurationError(
                f'{spec.name} has no parameter "{parameter}"; it has: {", ".join(known) or "none"}'
            )
        try:
            values[parameter] = _value(text, typing.get_type_hints(made_by)[parameter])
        except ValueError as error:
            raise ConfigurationError(f"{spec.name}: {parameter} {error}") from None
        except NameError as error:  # an annotation imported for type checkers only
            raise ConfigurationError(
                f"{spec.name}: the type of {parameter} cannot be found out ({error})"
            ) from error
    try:
        return made_by(**(chosen | values))
    except ValueError as error:  # a ConfigurationError is one, too
        raise ConfigurationError(f"{spec.name}: {error}") from error
    except TypeError as error:  # a required hyper-parameter is missing
        raise ConfigurationError(f"{spec.name} cannot be made: {error}") from error


def _imported(name: str, module: str) -> Any:
    """Import a module as Python does for a script: also from the working directory."""
    if "" not in sys.path:
        sys.path.append("")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f'algorithm "{name}" cannot be imported: {error}; install its package, or run where '
            "Python finds it"
        ) from error
    except Exception as error:  # a foreign module may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())  # on one line
        raise ConfigurationError(f'algorithm "{name}" cannot be imported: {reason}') from error


def _value(text: str, annotation: Any) -> Any:
    """Read a value of an annotated type.

    Raises:
        ValueError: With a message that can follow the parameter's name.
    """
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return _value(text, next(option for option in options if option is not types.NoneType))
    if origin is Literal:
        if text not in options:
            raise ValueError(f'"{text}" is unknown{suggest(text, options)}')
        return text
    if annotation is bool:
        if text.lower() not in _BOOLEANS:
            raise ValueError(f'"{text}" is neither true nor false')
        return _BOOLEANS[text.lower()]
    if annotation in (int, float):
        return _number(text, annotation)
    if annotation is str:
        return text
    raise ValueError("cannot be given as text: use the library")


def _number(text: str, kind: type[int] | type[float]) -> int | float:
    if kind is int:
        with contextlib.suppress(ValueError):
            return int(text)  # exactly, however many digits
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a number') from None
    if kind is int and not number.is_integer():
        raise ValueError(f'"{text}" is not a whole number')
    return kind(number)
