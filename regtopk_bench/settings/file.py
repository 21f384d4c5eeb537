"""`benchmarks.toml`: defaults and profiles, checked as a whole when read."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.files import content_of
from regtopk_bench.settings import parsers
from regtopk_bench.settings.claim import Claim
from regtopk_bench.settings.commands import COMMANDS
from regtopk_bench.settings.declare import declarations

FILE_NAME = "benchmarks.toml"
FILE_VERSION = 1
PACKAGED = "profiles.toml"
"""The package's own profiles, beside this module."""
_LARGEST = 2**18
"""Bytes: a file that people write has a few thousand."""

_CLAIMS = "claims"

_HYPER_PARAMETERS = {"mu": "mu=4", "q": "q=1e8", "denominator": "denominator=current"}
"""Keys that a user may mistake for settings, and how RegTop-k takes them instead."""

Section = dict[str, dict[str, Any]]
"""Values by command and setting, not yet parsed."""


@dataclass(frozen=True)
class Profile:
    """Settings under a name: for single commands, or together as the cells of a suite."""

    where: str
    """The profile in its file, as messages name it."""

    section: Section
    """Values for each command."""

    commands: tuple[str, ...]
    """The commands that have a table of their own, in the order of the file."""

    claims: tuple[Claim, ...] = ()
    """What must hold between the results of the suite."""


@functools.cache
def packaged() -> dict[str, Profile]:
    """Return the profiles that come with the package, by name."""
    file = importlib.resources.files(__package__) / PACKAGED
    return _profiles(PACKAGED, tomllib.loads(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class SettingsFile:
    """The content of a settings file, with the package's own profiles."""

    path: Path | None = None
    defaults: Section = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=packaged)

    def profile(self, name: str) -> Profile:
        """Return a profile by name; raise ConfigurationError for an unknown one."""
        if name in self.profiles:
            return self.profiles[name]
        where = f"{self.path}:" if self.path else f"no {FILE_NAME} in this folder, and"
        raise ConfigurationError(f'{where} no profile "{name}"{suggest(name, self.profiles)}')


def load(path: Path | None) -> SettingsFile:
    """Read the file given, or the one in the working directory if there is one.

    Its profiles are added to those of the package, and take the place of those of the same name.

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
    file = str(path)
    _refuse_unknown(file, "", content, ("version", "defaults", "profiles"))
    version = content.get("version")
    if type(version) is not int or version != FILE_VERSION:
        raise ConfigurationError(
            f"{file}: version is {parsers.shown(version)}, and must be {FILE_VERSION}"
        )
    return SettingsFile(
        path,
        _section(file, "defaults", content.get("defaults", {})),
        packaged() | _profiles(file, content),
    )


def _profiles(file: str, content: dict[str, Any]) -> dict[str, Profile]:
    tables = _table(file, "profiles", content.get("profiles", {}))
    return {name: _profile(file, name, table) for name, table in tables.items()}


def _profile(file: str, name: str, raw: Any) -> Profile:
    where = f"profiles.{name}"
    table = dict(_table(file, where, raw))
    claims = table.pop(_CLAIMS, [])
    if not isinstance(claims, list):
        raise ConfigurationError(f"{file}: {where}.{_CLAIMS} must be tables, [[{where}.{_CLAIMS}]]")
    return Profile(
        f"{file}: [{where}]",
        _section(file, where, table),
        tuple(command for command in table if command in COMMANDS),
        tuple(_claim(file, f"{where}.{_CLAIMS}", each) for each in claims),
    )


def _claim(file: str, where: str, raw: Any) -> Claim:
    table, declared = _table(file, where, raw), declarations(Claim)
    _refuse_unknown(file, where, table, declared)
    values = {}
    for key, value in table.items():
        try:
            values[key] = declared[key].kind.parse(value)
        except ValueError as error:
            raise ConfigurationError(f"{file}: [[{where}]] {key}: {error}") from error
    try:
        return Claim(**values)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: [[{where}]] {error}") from error


def _section(file: str, name: str, raw: Any) -> Section:
    """Check a section and sort its keys by command.

    A key outside a command's table applies to every command that has such a setting.
    """
    table = _table(file, name, raw)
    every_name = {key for settings in COMMANDS.values() for key in declarations(settings)}
    _refuse_unknown(file, name, table, [*sorted(every_name), *COMMANDS])
    section: Section = {}
    for command, settings in COMMANDS.items():
        declared = declarations(settings)
        own = _table(file, f"{name}.{command}", table.get(command, {}))
        _refuse_unknown(file, f"{name}.{command}", own, declared)
        shared = {key: table[key] for key in declared if key in table}
        section[command] = shared | own
        for key, value in section[command].items():
            where = f"{name}.{command}" if key in own else name
            try:
                declared[key].kind.parse(value)
            except ValueError as error:
                raise ConfigurationError(f"{file}: [{where}] {key}: {error}") from error
    return section


def _table(file: str, name: str, raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{file}: {name} must be a table, [{name}]")
    return raw


def _refuse_unknown(file: str, name: str, table: dict[str, Any], known: Collection[str]) -> None:
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
        raise ConfigurationError(f'{file}: {where}unknown key "{key}"{hint}')
