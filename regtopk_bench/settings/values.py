"""Settings' values outside the program: in JSON, and as text for users."""

from __future__ import annotations

from typing import Any

from regtopk_bench.settings.declare import Declaration, Group, declarations


def as_json(settings: Group) -> dict[str, Any]:
    """Return the values by name, as they are stored and as their parsers read them."""
    return {name: _plain(getattr(settings, name)) for name in declarations(type(settings))}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def from_json(declared: Declaration, raw: Any) -> Any:
    """Return a stored value; null and an empty list stand for a default that is none.

    Raises:
        ValueError: If it cannot be read, with a message that can follow the setting's name.
    """
    if raw in (None, []) and declared.default in (None, ()):
        return declared.default
    return declared.kind.parse(raw)


def as_text(value: Any) -> str:
    """Return a value as exact text: `none` for None and for an empty list."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple) and value:
        return ", ".join(map(as_text, value))
    if value in (None, ()):
        return "none"
    short = f"{value:g}" if isinstance(value, float) else ""
    return short if short and float(short) == value else str(value)
