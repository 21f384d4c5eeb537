"""Checks on result files; every error names the file in one line."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.schema import SCHEMA, VERSION

Model = TypeVar("Model", bound=BaseModel)


def check_version(
    content: Any,
    file: Path,
    *,
    kind: str = "result",
    schema: str = SCHEMA,
    version: int = VERSION,
) -> None:
    """Check that JSON is of the kind and version that this program reads.

    Raises:
        ConfigurationError: If it is of another kind or version.
    """
    if not isinstance(content, dict) or content.get("schema") != schema:
        raise ConfigurationError(f'{file} is not a {kind}: its "schema" is not "{schema}"')
    found = content.get("version")
    if type(found) is not int:
        raise ConfigurationError(f"{kind} {file} is damaged at version: {found!r} is no version")
    if found > version:
        raise ConfigurationError(
            f"{kind} {file} has version {found}, this program reads version {version}: upgrade it"
        )
    if found < version:
        raise ConfigurationError(
            f"{kind} {file} was written by an older version of this program: make it again"
        )


def validated(model: type[Model], content: Any, where: str) -> Model:
    """Return JSON as a model.

    Raises:
        ConfigurationError: If a value is missing or of the wrong kind, saying which.
    """
    with named(where, content):
        return model.model_validate(content)


@contextlib.contextmanager
def named(where: str, content: Any = None) -> Iterator[None]:
    """Turn what a model refuses into a one-line error that says where it is in the content."""
    try:
        yield
    except ValidationError as error:
        found = [
            (_place(each["loc"], content, each["type"] == "missing"), each["msg"])
            for each in error.errors()
        ]
        place = found[0][0]
        reason = [message for at, message in found if at == place][-1]  # the last of alternatives
        reason = reason.removeprefix("Value error, ")
        raise ConfigurationError(f"{where} is damaged{place}: {reason}") from error


def _place(location: Sequence[str | int], content: Any, missing: bool) -> str:
    """Return ` at runs.0.seed`, without the names of alternatives that Pydantic puts in between."""
    parts = []
    for part in location:
        with contextlib.suppress(LookupError, TypeError):
            content = content[part]
            parts.append(str(part))
    parts += map(str, location[-1:] if missing else [])
    return f" at {'.'.join(parts)}" if parts else ""


def parsed(text: bytes, where: str) -> Any:
    """Parse strict JSON: no number that is not finite, and no key twice.

    Raises:
        ConfigurationError: If it is something else.
    """
    try:
        return json.loads(
            text.decode(),
            parse_float=_finite,
            parse_constant=_finite,
            object_pairs_hook=_distinct,
        )
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{where} is damaged: not a text file") from error
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{where} is damaged or truncated at character {error.pos}: {error.msg}"
        ) from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, [[[[…
        raise ConfigurationError(f"{where} is damaged: {error}") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number that JSON can hold")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'the key "{twice}" is there twice')
    return found
