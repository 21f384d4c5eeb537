"""What an annotation says about a setting: how a value is read, and how help shows it.

The annotation is the only source: `Count` reads a whole number of at least 1,
`tuple[Density, ...]` a list of them, `Literal["cpu", "cuda"]` one of two words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from regtopk_bench.algorithms import ALGORITHMS, AlgorithmSpec
from regtopk_bench.network import Network
from regtopk_bench.settings import parsers
from regtopk_bench.settings.parsers import Parser
from regtopk_bench.settings.paths import UserPath


@dataclass(frozen=True)
class Kind:
    """How values of a type are given. In `Annotated`, it replaces the type's own."""

    parse: Parser

    metavar: str | None
    """Stands for the value in help; None for a switch, which takes no value."""

    repeatable: bool = False
    """Whether the flag may be given several times, with one value each."""

    choices: tuple[str, ...] = ()
    """The words that help lists."""


@dataclass(frozen=True)
class AtLeast:
    """A number's lower bound, included."""

    bound: float

    def check(self, value: float, raw: Any) -> None:
        """Raise ValueError, quoting the raw value, if the value is too small."""
        if value < self.bound:
            raise ValueError(f"{parsers.bare(raw)} is below {self.bound:g}")


@dataclass(frozen=True)
class Above:
    """A number's lower bound, excluded."""

    bound: float

    def check(self, value: float, raw: Any) -> None:
        """Raise ValueError, quoting the raw value, if the value is too small."""
        if not value > self.bound:
            raise ValueError(f"{parsers.bare(raw)} is not above {self.bound:g}")


@dataclass(frozen=True)
class Below:
    """A number's upper bound, excluded."""

    bound: float

    def check(self, value: float, raw: Any) -> None:
        """Raise ValueError, quoting the raw value, if the value is too large."""
        if not value < self.bound:
            raise ValueError(f"{parsers.bare(raw)} is not below {self.bound:g}")


@dataclass(frozen=True)
class AtMost:
    """A number's upper bound, included."""

    bound: float

    def check(self, value: float, raw: Any) -> None:
        """Raise ValueError, quoting the raw value, if the value is too large."""
        if value > self.bound:
            raise ValueError(f"{parsers.bare(raw)} is above {self.bound:g}")


Bound = AtLeast | Above | Below | AtMost

_MANY = 1e13
"""More than any machine holds or gets through, and sizes in bytes stay within 64 bits."""
_LARGE = 1e38
"""What float32 can still hold."""

Whole = Annotated[int, AtLeast(0), AtMost(_MANY)]
Count = Annotated[int, AtLeast(1), AtMost(_MANY)]
AtOnce = Annotated[int, AtLeast(1), AtMost(1024)]
"""How many processes or threads there are at the same time; more would take a machine down."""
AtOnceOrAuto = AtOnce | Literal["auto"]
Positive = Annotated[float, Above(0), AtMost(_LARGE)]
NonNegative = Annotated[float, AtLeast(0), AtMost(_LARGE)]
Number = Annotated[float, Kind(parsers.number, "FLOAT")]
Fraction = Annotated[float, Kind(parsers.fraction, "FLOAT")]
Density = Annotated[float, Kind(parsers.density, "FLOAT")]
Duration = Annotated[float, Kind(parsers.duration, "TIME")]
NetworkText = Annotated[Network, Kind(parsers.network, "NETWORK")]
Seeds = Annotated[tuple[int, ...], Kind(parsers.seeds, "LIST")]
Name = Annotated[str, Kind(parsers.text, "NAME")]
NameOrPath = Annotated[str, Kind(parsers.name_or_path, "NAME|PATH")]
FileOrFolder = Annotated[UserPath, Kind(parsers.path, "PATH")]
File = Annotated[UserPath, Kind(parsers.path, "FILE")]
Folder = Annotated[UserPath, Kind(parsers.path, "DIR")]
RunFolder = Annotated[UserPath, Kind(parsers.path, "RUN")]
Algorithm = Annotated[AlgorithmSpec, Kind(parsers.algorithm, "NAME")]
Algorithms = Annotated[
    tuple[AlgorithmSpec, ...],
    Kind(parsers.algorithms, "NAME", repeatable=True, choices=tuple(ALGORITHMS)),
]

_PLAIN = {
    bool: Kind(parsers.boolean, None),
    int: Kind(parsers.integer, "INT"),
    float: Kind(parsers.number, "FLOAT"),
    str: Kind(parsers.text, "TEXT"),
}


def kind_of(annotation: Any) -> Kind:
    """Return how values of an annotation are given.

    `None` in a union is a default that cannot be given, and adds nothing.

    Raises:
        TypeError: For an annotation that implies no parser.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin is Annotated:
        return _annotated(*arguments)
    if origin in (Union, UnionType):
        return _union([each for each in arguments if each is not NoneType])
    if origin is Literal:
        return Kind(parsers.choice(arguments), "NAME", choices=arguments)
    if origin is tuple and arguments[1:] == (...,):
        item = kind_of(arguments[0])
        return Kind(
            parsers.listing(item.parse), item.metavar, repeatable=True, choices=item.choices
        )
    raise TypeError(f"no parser follows from the annotation {annotation}")


def _annotated(base: Any, *facts: Any) -> Kind:
    for fact in facts:
        if isinstance(fact, Kind):
            return fact
    plain = kind_of(base)
    bounds = [fact for fact in facts if isinstance(fact, Bound)]

    def parse(raw: Any) -> Any:
        value = plain.parse(raw)
        for bound in bounds:
            bound.check(value, raw)
        return value

    return replace(plain, parse=parse)


def _union(members: list[Any]) -> Kind:
    words = tuple(
        word for each in members if get_origin(each) is Literal for word in get_args(each)
    )
    others = [each for each in members if get_origin(each) is not Literal]
    if len(others) > 1:
        raise TypeError(f"no parser follows from a union of {others}")
    if not others:
        return kind_of(Literal[words])
    other = kind_of(others[0])
    if not words:
        return other
    return Kind(parsers.word_or(words, other.parse), "|".join([other.metavar or "", *words]))
