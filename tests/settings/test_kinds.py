from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from regtopk_bench.settings.kinds import (
    Above,
    AtLeast,
    AtOnceOrAuto,
    Below,
    Count,
    Density,
    Folder,
    Fraction,
    Kind,
    NonNegative,
    Positive,
    Seeds,
    Whole,
    kind_of,
)

Momentum = Annotated[float, AtLeast(0), Below(1)]
Device = Literal["cpu", "cuda"]


@pytest.mark.parametrize(
    ("annotation", "raw", "value"),
    [
        (int, "-3", -3),
        (int, 2.0, 2),
        (float, "1e-3", 0.001),
        (str, "a b", "a b"),
        (bool, "yes", True),
        (bool, False, False),
        (Whole, "0", 0),
        (Count, "1e6", 1_000_000),
        (Positive, "0.5", 0.5),
        (NonNegative, 0, 0.0),
        (Momentum, "0.9", 0.9),
        (Density, "1", 1.0),
        (Device, "cuda", "cuda"),
        (str | None, "x", "x"),
        (Count | None, "2", 2),
        (Device | None, "cpu", "cpu"),
        (AtOnceOrAuto, "auto", "auto"),
        (AtOnceOrAuto, "3", 3),
        (tuple[Count, ...], "3,1,3", (3, 1)),
        (tuple[Density, ...], [0.5, "1"], (0.5, 1.0)),
        (tuple[Device, ...], ["cuda", "cpu"], ("cuda", "cpu")),
        (Seeds, "0-2", (0, 1, 2)),
    ],
)
def test_the_annotation_reads_values(annotation: Any, raw: Any, value: Any) -> None:
    found = kind_of(annotation).parse(raw)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "raw", "message"),
    [
        (int, "2.5", "'2.5' is not a whole number"),
        (int, True, "True is not a whole number"),
        (int, "inf", "'inf' is not a whole number"),
        (float, "nan", "'nan' is not a finite number"),
        (float, [1], r"\[1\] is not a finite number"),
        (str, "", "'' is not text"),
        (bool, "maybe", "'maybe' is neither true nor false"),
        (Whole, "-1", "-1 is below 0"),
        (Count, 0, "0 is below 1"),
        (Positive, 0, "0 is not above 0"),
        (NonNegative, "-0.5", "-0.5 is below 0"),
        (Momentum, "1", "1 is not below 1"),
        (Momentum, "-1", "-1 is below 0"),
        (Count, "1e14", "1e14 is above 1e\\+13"),
        (Count, 10**400, "1000.*… is above 1e\\+13"),
        (Positive, "1e308", "1e308 is above 1e\\+38"),
        (AtOnceOrAuto, "1000000000", "1000000000 is above 1024"),
        (Annotated[int, Above(2)], 2, "2 is not above 2"),
        (Fraction, "0", r"0 is not in \(0, 1\]"),
        (Density, 2, r"2 is not in \(0, 1\]; it is the fraction of entries kept"),
        (Device, "cudaa", 'unknown value "cudaa"; did you mean "cuda"?'),
        (Count | None, "0", "0 is below 1"),
        (AtOnceOrAuto, "0", "0 is below 1"),
        (AtOnceOrAuto, "several", "'several' is not a whole number"),
        (tuple[Count, ...], "1,x", "'x' is not a whole number"),
        (tuple[Count, ...], [], "the list is empty"),
        (tuple[Device, ...], ["cpu", "gpu"], 'unknown value "gpu"'),
    ],
)
def test_the_annotation_refuses_values(annotation: Any, raw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind_of(annotation).parse(raw)


@pytest.mark.parametrize(
    ("annotation", "metavar", "repeatable", "choices"),
    [
        (bool, None, False, ()),
        (int, "INT", False, ()),
        (Positive, "FLOAT", False, ()),
        (str, "TEXT", False, ()),
        (Folder | None, "DIR", False, ()),
        (Device, "NAME", False, ("cpu", "cuda")),
        (AtOnceOrAuto, "INT|auto", False, ()),
        (Seeds, "LIST", False, ()),
        (tuple[Density, ...], "FLOAT", True, ()),
        (tuple[Device, ...], "NAME", True, ("cpu", "cuda")),
    ],
)
def test_the_annotation_shows_itself(
    annotation: Any, metavar: str | None, repeatable: bool, choices: tuple[str, ...]
) -> None:
    kind = kind_of(annotation)
    assert (kind.metavar, kind.repeatable, kind.choices) == (metavar, repeatable, choices)


def test_a_kind_of_its_own_takes_the_place_of_the_types() -> None:
    own = Kind(str.upper, "WORD")
    assert kind_of(Annotated[str, own]) is own


@pytest.mark.parametrize("annotation", [complex, list[int], tuple[int, int], int | str], ids=str)
def test_nothing_follows_from_other_annotations(annotation: Any) -> None:
    with pytest.raises(TypeError, match="no parser follows from"):
        kind_of(annotation)
