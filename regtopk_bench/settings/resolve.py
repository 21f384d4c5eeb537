"""One value for every setting: flag, environment, profile, defaults or built-in, in this order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings.file import SettingsFile
from regtopk_bench.settings.schema import COMMANDS, ReportSettings, spec_of

ENVIRONMENT_PREFIX = "REGTOPK_BENCH_"

S = TypeVar("S", bound=ReportSettings)


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """A command's settings, and for each where its value came from."""

    settings: S
    sources: Mapping[str, str]


def resolve(
    command: str,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: SettingsFile,
    profile: str | None,
) -> Resolved[Any]:
    """Settle the settings of a command.

    Raises:
        ConfigurationError: Naming the source and the setting of a value that cannot be used.
    """
    chosen = file.profile(profile)[command] if profile is not None else {}
    defaults = file.defaults.get(command, {})

    def candidates(name: str) -> Iterator[tuple[str, str, Any]]:
        """Yield (source, name there, value) by falling precedence."""
        flag, variable = flag_name(name), variable_name(name)
        if flags.get(name) not in (None, []):
            yield "flag", flag, flags[name]
        if environment.get(variable):
            yield "environment", variable, environment[variable]
        if name in chosen:
            yield f"profile {profile}", f"{file.path}: [profiles.{profile}] {name}", chosen[name]
        if name in defaults:
            yield "defaults", f"{file.path}: [defaults] {name}", defaults[name]

    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for declared in fields(COMMANDS[command]):
        for source, shown, raw in candidates(declared.name):
            try:
                values[declared.name] = spec_of(declared).parse(raw)
            except ValueError as error:
                raise ConfigurationError(f"{shown}: {error}") from error
            sources[declared.name] = source
            break
        else:
            sources[declared.name] = "built-in"
    return Resolved(COMMANDS[command](**values), sources)


def flag_name(name: str) -> str:
    """Return the flag of a setting."""
    return "--" + name.replace("_", "-")


def variable_name(name: str) -> str:
    """Return the environment variable of a setting."""
    return ENVIRONMENT_PREFIX + name.upper()
