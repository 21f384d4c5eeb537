from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from regtopk_bench.settings import declarations
from regtopk_bench.settings.declare import Group, other_default, setting
from regtopk_bench.settings.kinds import Count


@dataclass(frozen=True, kw_only=True)
class Shape(Group, panel="Problem", decides=True):
    size: Count = setting(3, "Size.", short="-z")
    colour: Literal["red", "blue"] = setting("red", "Colour: {choices}.", decides=False)


@dataclass(frozen=True, kw_only=True)
class SolidShape(Shape):
    depth: Count | None = setting(None, "Depth.")


@dataclass(frozen=True, kw_only=True)
class Drawing(Group, panel="Report", decides=False):
    scale: float = setting(1.0, "Scale.")
    dpi: Count = setting(100, "Resolution.", decides=True)


@dataclass(frozen=True, kw_only=True)
class Command(Drawing, SolidShape):
    size: Count = other_default(Shape, "size", 5)


def test_a_command_has_the_settings_of_its_groups_panel_by_panel() -> None:
    found = declarations(Command)
    panels = {name: each.panel for name, each in found.items()}
    assert list(panels.items()) == [
        ("size", "Problem"),
        ("colour", "Problem"),
        ("depth", "Problem"),
        ("scale", "Report"),
        ("dpi", "Report"),
    ]
    assert all(name == each.name for name, each in found.items())


def test_a_group_decides_unless_a_setting_differs() -> None:
    decides = {name: each.decides for name, each in declarations(Command).items()}
    assert decides == {"size": True, "colour": False, "depth": True, "scale": False, "dpi": True}


def test_another_default_keeps_the_rest() -> None:
    size, first = declarations(Command)["size"], declarations(Shape)["size"]
    assert Command().size == size.default == 5
    assert Shape().size == first.default == 3
    assert (size.help, size.short, size.panel, size.decides) == ("Size.", "-z", "Problem", True)


def test_help_names_the_choices() -> None:
    assert declarations(Shape)["colour"].help == "Colour: red, blue."


def test_a_setting_outside_a_group_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Stray(Group):
        size: int = setting(3, "Size.")

    with pytest.raises(TypeError, match="size of Stray is in no panel"):
        declarations(Stray)
