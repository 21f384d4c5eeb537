"""`benchmarks.toml`: defaults and profiles, checked as a whole when read."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.files import content_of
from regtopk_bench.settings import parsers
from regtopk_bench.settings.commands import COMMANDS
from regtopk_bench.settings.declare import declarations

FILE_NAME = "benchmarks.toml"
FILE_VERSION = 1
_LARGEST = 2**18
"""Bytes: a file that people write has a few thousand."""

_HYPER_PARAMETERS = {"mu": "mu=4", "q": "q=1e8", "denominator": "denominator=current"}
"""Keys that a user may mistake for settings, and how RegTop-k takes them instead."""

Section = dict[str, dict[str, Any]]
"""Values by command and setting, not yet parsed."""


@dataclass(frozen=True)
class SettingsFile:
    """The content of a settings file; empty without one."""

    path: Path | None = None
    defaults: Section = field(default_factory=dict)
    profiles: Mapping[str, Section] = field(default_factory=dict)

    def profile(self, name: str) -> Section:
        """Return a profile by name; raise ConfigurationError for an unknown one."""
        if name in self.profiles:
            return self.profiles[name]
        if self.path is None:
            raise ConfigurationError(
                f'profile "{name}" needs a {FILE_NAME} in this folder, or one given with --config'
            )
        raise ConfigurationError(f'{self.path}: no profile "{name}"{suggest(name, self.profiles)}')


def load(path: Path | None) -> SettingsFile:
    """Read the file given, or the one in the working directory if there is one.

    Raises:
        ConfigurationError: Naming file and key, if anything cannot be used.
    """
    if path is None:
        path = Path(FILE_NAME)
        if not (path.exists() or path.is_symlink()):
            return SettingsFile()
    try:
        found = Path(parsers.path(str(path)))
    except ValueError as error:
        raise ConfigurationError(f"--config: {error}") from error
    try:
        content = tomllib.loads(content_of(found, _LARGEST).decode())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also digits by the thousand, [[[[…
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error

    _refuse_unknown(path, "", content, ("version", "defaults", "profiles"))
    version = content.get("version")
    if type(version) is not int or version != FILE_VERSION:
        raise ConfigurationError(
            f"{path}: version is {parsers.shown(version)}, and must be {FILE_VERSION}"
        )
    profiles = _table(path, "profiles", content.get("profiles", {}))
    return SettingsFile(
        path,
        _section(path, "defaults", content.get("defaults", {})),
        {name: _section(path, f"profiles.{name}", table) for name, table in profiles.items()},
    )


def _section(path: Path, name: str, raw: Any) -> Section:
    """Check a section and sort its keys by command.

    A key outside a command's table applies to every command that has such a setting.
    """
    table = _table(path, name, raw)
    every_name = {key for settings in COMMANDS.values() for key in declarations(settings)}
    _refuse_unknown(path, name, table, [*sorted(every_name), *COMMANDS])
    section: Section = {}
    for command, settings in COMMANDS.items():
        declared = declarations(settings)
        own = _table(path, f"{name}.{command}", table.get(command, {}))
        _refuse_unknown(path, f"{name}.{command}", own, declared)
        shared = {key: table[key] for key in declared if key in table}
        section[command] = shared | own
        for key, value in section[command].items():
            where = f"{name}.{command}" if key in own else name
            try:
                declared[key].kind.parse(value)
            except ValueError as error:
                raise ConfigurationError(f"{path}: [{where}] {key}: {error}") from error
    return section


def _table(path: Path, name: str, raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{path}: {name} must be a table, [{name}]")
    return raw


def _refuse_unknown(path: Path, name: str, table: dict[str, Any], known: Collection[str]) -> None:
    for key in table:
        if key in known:
            continue
        hint = suggest(key, known)
        if key in _HYPER_PARAMETERS and "algorithm" in known:
            hint = (
                ": hyper-parameters belong to the algorithm, as in "
                f'algorithm = ["regtopk:{_HYPER_PARAMETERS[key]}"]'
            )
        where = f"[{name}] " if name else ""
        raise ConfigurationError(f'{path}: {where}unknown key "{key}"{hint}')
