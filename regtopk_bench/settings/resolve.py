"""One value for every setting: flag, environment, profile, defaults or built-in, in this order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.settings.commands import COMMANDS
from regtopk_bench.settings.declare import declarations
from regtopk_bench.settings.file import SettingsFile
from regtopk_bench.settings.gate import BaselineSettings, CheckSettings
from regtopk_bench.settings.report import FormatSettings, SavedSettings
from regtopk_bench.settings.values import as_text, from_json

ENVIRONMENT_PREFIX = "REGTOPK_BENCH_"

_SOURCES = ("flag", "environment", "profile", "defaults", "built-in")
"""The first words of sources, highest precedence first."""

_SAVING = ("output", "plot_format", "plot_width", "plot_title")
"""What only a run that is saved uses."""

_TIMING = ("time", "margin", "time_budget", "cache")
"""What only a check that times cells uses."""

S = TypeVar("S", bound=FormatSettings)


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """A command's settings, and where each value came from."""

    settings: S
    sources: Mapping[str, str]


def resolve(
    command: str,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: SettingsFile,
    profile: str | None,
) -> Resolved[Any]:
    """Resolve the settings of a command.

    Raises:
        ConfigurationError: Naming the source and the setting of an invalid value, or a flag that
            would do nothing.
    """
    _refuse_unknown(environment)
    named = file.profile(profile) if profile is not None else None
    chosen = named.section[command] if named else {}
    defaults = file.defaults.get(command, {})

    def candidates(name: str) -> Iterator[tuple[str, str, Any]]:
        """Yield (source, name there, value), highest precedence first."""
        flag, variable = flag_name(name), variable_name(name)
        if flags.get(name) not in (None, []):
            yield "flag", flag, flags[name]
        if environment.get(variable):
            yield "environment", variable, environment[variable]
        if named and name in chosen:
            yield f"profile {profile}", f"{named.where} {name}", chosen[name]
        if name in defaults:
            yield "defaults", f"{file.path}: [defaults] {name}", defaults[name]

    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, declared in declarations(COMMANDS[command]).items():
        for source, shown, raw in candidates(name):
            try:
                values[name] = declared.kind.parse(raw)
            except ValueError as error:
                raise ConfigurationError(f"{shown}: {error}") from error
            sources[name] = source
            break
        else:
            sources[name] = "built-in"
    _refuse_ignored(sources)
    _choose_images(values, sources)
    settings = COMMANDS[command](**values)
    _refuse_unused(settings, sources)
    return Resolved(settings, sources)


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """Refuse a variable of ours that no command has: it was misspelt, and would do nothing."""
    known = {variable_name(name) for each in COMMANDS.values() for name in declarations(each)}
    known |= {variable_name("profile"), variable_name("config")}
    for name in environment:
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            raise ConfigurationError(f'unknown variable "{name}"{suggest(name, sorted(known))}')


def _refuse_ignored(sources: Mapping[str, str]) -> None:
    """Refuse a density that was given where k takes its place, unless k's source goes first."""
    density, k = (sources.get(name, _SOURCES[-1]) for name in ("density", "k"))
    if _SOURCES[-1] not in (density, k) and _precedence(density) <= _precedence(k):
        raise ConfigurationError(
            f"--density ({density}) with --k ({k}), which takes its place: give one of them"
        )


def _choose_images(values: dict[str, Any], sources: dict[str, str]) -> None:
    """Leave out --data where --dataset comes from a source that goes first.

    Raises:
        ConfigurationError: If both come from sources of the same kind.
    """
    data, dataset = (sources.get(name, _SOURCES[-1]) for name in ("data", "dataset"))
    if _SOURCES[-1] in (data, dataset) or _precedence(dataset) > _precedence(data):
        return
    if _precedence(dataset) == _precedence(data):
        raise ConfigurationError(
            f"--dataset ({dataset}) with --data ({data}), which takes its place: give one of them"
        )
    del values["data"]
    sources["data"] = _SOURCES[-1]


def _refuse_unused(settings: FormatSettings, sources: Mapping[str, str]) -> None:
    """Refuse a flag that would do nothing beside the other settings.

    A run that is resumed has its own settings, among which there may be the one that is missing.
    """
    if getattr(settings, "resume", None) is not None:
        return
    for name, needed in _unused(settings):
        if sources.get(name) == _SOURCES[0]:
            raise ConfigurationError(
                f"{flag_name(name)} does nothing without {needed}: leave it out"
            )


def _unused(settings: FormatSettings) -> Iterator[tuple[str, str]]:
    """Yield the names of settings that do nothing, and the flags that they would need."""
    if isinstance(settings, SavedSettings) and not settings.save:
        yield from ((name, "--save") for name in _SAVING)
    if isinstance(settings, CheckSettings) and settings.against is None and not settings.timing:
        yield from ((name, "--against or --timing") for name in _TIMING)
    if isinstance(settings, BaselineSettings) and not settings.time:
        yield "processes", "--time"


def _precedence(source: str) -> int:
    return _SOURCES.index(source.partition(" ")[0])


def resumed(resolved: Resolved[S], before: Mapping[str, Any], result: Path) -> Resolved[S]:
    """Return the settings of a resumed run.

    Settings that do not affect the numbers may be changed; all others keep their values.

    Args:
        resolved: The settings given now.
        before: The stored values that the run was started with, as `as_json` returns them.
        result: The run's result, for messages.

    Raises:
        ConfigurationError: If a setting that affects the numbers was changed, or a stored value
            cannot be read.
    """
    values: dict[str, Any] = {}
    sources = dict(resolved.sources)
    for name, declared in declarations(type(resolved.settings)).items():
        source = sources[name]
        given = source not in ("built-in", "defaults")
        if name not in before or (given and not declared.decides):
            continue
        try:
            stored = from_json(declared, before[name])
        except ValueError as error:
            raise ConfigurationError(f"{result}: setting {name}: {error}") from error
        now = getattr(resolved.settings, name)
        if given and now != stored:
            raise ConfigurationError(
                f"{flag_name(name)} is {as_text(now)} ({source}), but the run to resume has "
                f"{as_text(stored)}: leave it out, or start a new run"
            )
        values[name], sources[name] = stored, "resumed run"
    return Resolved(replace(resolved.settings, **values), sources)


def flag_name(name: str) -> str:
    """Return the flag of a setting."""
    return "--" + name.replace("_", "-")


def variable_name(name: str) -> str:
    """Return the environment variable of a setting."""
    return ENVIRONMENT_PREFIX + name.upper()
