"""How settings are declared, and what follows from a declaration.

A group is a frozen dataclass whose fields are the settings of one panel. A command's settings
class combines groups. Flags, environment variables, TOML keys, help and `config` derive from it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from regtopk_bench.settings.kinds import Kind, kind_of

Panel = Literal["Problem", "Training", "Sparsification", "Gate", "Execution", "Report"]
PANELS: tuple[Panel, ...] = get_args(Panel)
"""The panels, in the order in which help shows them."""

_METADATA = "setting"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Base of the settings of a panel, and of a command that combines several."""

    _panel: ClassVar[Panel]
    _decides: ClassVar[bool]

    def __init_subclass__(cls, panel: Panel | None = None, decides: bool | None = None) -> None:
        """Set the panel, and whether its settings affect the numbers unless they say otherwise.

        A subclass that names none adds settings to the panel of its base.
        """
        super().__init_subclass__()
        if panel is not None:
            cls._panel = panel
        if decides is not None:
            cls._decides = decides

    def __post_init__(self) -> None:
        """Check constraints across settings; a subclass also calls its base's check."""


@dataclass(frozen=True)
class _Metadata:
    help: str
    short: str | None
    decides: bool | None


def setting(
    default: Any, help: str, *, short: str | None = None, decides: bool | None = None
) -> Any:
    """Declare a setting; its parser, metavar and choices follow from the field's annotation.

    Args:
        default: The built-in default.
        help: One sentence; `{choices}` in it stands for the annotation's words.
        short: A one-letter flag, as in "-n".
        decides: Whether another value may change the numbers; None for the group's default.
    """
    return field(default=default, metadata={_METADATA: _Metadata(help, short, decides)})


def other_default(group: type[Group], name: str, default: Any) -> Any:
    """Declare a group's setting again, with a default that suits a command."""
    (declared,) = (each for each in fields(group) if each.name == name)
    return field(default=default, metadata=declared.metadata)


@dataclass(frozen=True)
class Declaration:
    """One setting of a command: its declaration, and everything derived from it."""

    name: str
    default: Any
    help: str
    short: str | None
    panel: Panel
    decides: bool
    """Whether another value may change the numbers, and so makes a different cell."""
    kind: Kind


_KNOWN: dict[type[Group], Mapping[str, Declaration]] = {}


def declarations(group: type[Group]) -> Mapping[str, Declaration]:
    """Return the declarations of a group or a command by name, panel by panel.

    Raises:
        TypeError: For a setting in no panel, or whose annotation implies no parser.
    """
    if group not in _KNOWN:
        annotations = get_type_hints(group, include_extras=True)
        found = [_declaration(group, each, annotations[each.name]) for each in fields(group)]
        found.sort(key=lambda each: PANELS.index(each.panel))
        _KNOWN[group] = {each.name: each for each in found}
    return _KNOWN[group]


def _declaration(group: type[Group], declared: Field[Any], annotation: Any) -> Declaration:
    written: _Metadata = declared.metadata[_METADATA]
    home = _home(group, declared.name)
    kind = kind_of(annotation)
    return Declaration(
        name=declared.name,
        default=declared.default,
        help=written.help.replace("{choices}", ", ".join(kind.choices)),
        short=written.short,
        panel=home._panel,
        decides=home._decides if written.decides is None else written.decides,
        kind=kind,
    )


def _home(group: type[Group], name: str) -> type[Group]:
    """Return the group that first declares a setting; others only change its default."""
    home = next(base for base in reversed(group.__mro__) if name in inspect.get_annotations(base))
    if not hasattr(home, "_panel"):
        raise TypeError(f"{name} of {home.__name__} is in no panel: name one in its bases")
    return home
