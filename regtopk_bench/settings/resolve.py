"""One value for every setting: flag, environment, profile, defaults or built-in, in this order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
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


def continued(
    command: str, resolved: Resolved[Any], before: Mapping[str, Any], free: Collection[str]
) -> Resolved[Any]:
    """Return the settings of a run that is gone on with.

    Args:
        command: The command.
        resolved: What was given now.
        before: The values that the run was started with.
        free: Settings that may change, as they do not decide what comes out.

    Raises:
        ConfigurationError: If anything else was given now and is not what it was.
    """
    values, sources = {}, dict(resolved.sources)
    for declared in fields(COMMANDS[command]):
        name, source = declared.name, sources[declared.name]
        given = source not in ("built-in", "defaults")
        if name not in before or (name in free and given):
            continue
        try:
            stored = None if before[name] is None else spec_of(declared).parse(before[name])
        except ValueError:  # an empty list
            stored = declared.default
        now = getattr(resolved.settings, name)
        if given and name not in free and now != stored:
            raise ConfigurationError(
                f"{flag_name(name)} is {now} ({source}), but the run to resume has {stored}: "
                "leave it out, or start a new run"
            )
        values[name], sources[name] = stored, "resumed run"
    return Resolved(replace(resolved.settings, **values), sources)


def flag_name(name: str) -> str:
    """Return the flag of a setting."""
    return "--" + name.replace("_", "-")


def variable_name(name: str) -> str:
    """Return the environment variable of a setting."""
    return ENVIRONMENT_PREFIX + name.upper()
