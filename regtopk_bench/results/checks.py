"""Checks on result files; every error names the file in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results.schema import SCHEMA, VERSION

Model = TypeVar("Model", bound=BaseModel)


def text_of(file: Path) -> str:
    """Return a text file's content.

    Raises:
        ConfigurationError: If it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read result {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"cannot read result {file}: not a text file") from error


def check_version(content: Any, file: Path) -> None:
    """Check that JSON is a result of the version that this program reads.

    Raises:
        ConfigurationError: If it is of another kind or version.
    """
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ConfigurationError(f'{file} is not a result: its "schema" is not "{SCHEMA}"')
    version = content.get("version")
    if not isinstance(version, int):
        return  # validation reports what is wrong with it
    if version > VERSION:
        raise ConfigurationError(
            f"result {file} has version {version}, this program reads version {VERSION}: upgrade it"
        )
    if version < VERSION:
        raise ConfigurationError(
            f"result {file} was written by an older version of this program: run it again"
        )


def validated(model: type[Model], content: Any, where: str) -> Model:
    """Return JSON as a model.

    Raises:
        ConfigurationError: If a value is missing or of the wrong kind, saying which.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{where} is damaged at {place}: {first['msg']}") from error


def parsed(text: str, where: str) -> Any:
    """Parse JSON text.

    Raises:
        ConfigurationError: If it is not JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{where} is damaged or truncated at line {error.lineno}: {error.msg}"
        ) from error
