from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regtopk_bench.algorithms import AlgorithmSpec
from regtopk_bench.settings import parsers


@pytest.mark.parametrize(
    ("raw", "seeds"),
    [
        ("0", (0,)),
        ("0-4", (0, 1, 2, 3, 4)),
        ("0,3,7", (0, 3, 7)),
        ("1-2,2-3", (1, 2, 3)),
        (["5"], (5,)),
    ],
)
def test_seeds(raw: Any, seeds: tuple[int, ...]) -> None:
    assert parsers.seeds(raw) == seeds


@pytest.mark.parametrize("raw", ["", "a", "4-1", "-3", "1-", "0-100000", "١"])
def test_impossible_seeds(raw: str) -> None:
    with pytest.raises(ValueError, match=r"is not|holds more"):
        parsers.seeds(raw)


def test_the_largest_seed() -> None:
    assert parsers.seeds(str(2**63 - 1)) == (2**63 - 1,)
    with pytest.raises(ValueError, match="'9223372036854775808' is beyond 9223372036854775807"):
        parsers.seeds(str(2**63))


@pytest.mark.parametrize(
    ("raw", "seconds"), [("180ms", 0.18), ("2.5us", 2.5e-6), ("3", 3.0), (0.5, 0.5), (7, 7.0)]
)
def test_times(raw: Any, seconds: float) -> None:
    assert parsers.duration(raw) == seconds


@pytest.mark.parametrize(
    "raw", ["", "ms", "1min", "-1s", "0s", 0, -1.0, "1e10s", True, "nan", None]
)
def test_impossible_times(raw: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a time|is not one of"):
        parsers.duration(raw)


@pytest.mark.parametrize(
    ("parse", "raw", "message"),
    [
        (parsers.integer, 10**400, None),
        (parsers.integer, 2**53 + 1, None),
        (parsers.integer, str(2**53 + 1), None),
        (parsers.integer, "1_000", None),
        (parsers.integer, "1" * 5000, "… is not a whole number"),
        (parsers.integer, "0x10", "'0x10' is not a whole number"),
        (parsers.integer, "١٢", "'١٢' is not a whole number"),
        (parsers.number, 10**400, "… is not a finite number"),
        (parsers.number, "1e400", "'1e400' is not a finite number"),
        (parsers.fraction, "1e-400", "1e-400 is not in"),
        (parsers.fraction, "x" * 5000, "xxx… is not in"),
        (parsers.boolean, 1, "1 is neither true nor false"),
        (parsers.boolean, 0.0, "0.0 is neither true nor false"),
        pytest.param(parsers.text, 10**5000, "this int is not text", id="digits"),
        (parsers.choice(["a", "b"]), ["a"], "unknown value \"['a']\""),
    ],
)
def test_numbers_and_words_of_every_kind(parse: Any, raw: Any, message: str | None) -> None:
    if message is None:
        assert parse(raw) == int(raw)
        return
    with pytest.raises(ValueError, match=r".") as caught:
        parse(raw)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_value_nested_deeply_can_be_quoted() -> None:
    nested: Any = {}
    for _ in range(100_000):
        nested = {"a": nested}
    for parse in (parsers.integer, parsers.seeds, parsers.algorithms, parsers.choice(["a"])):
        with pytest.raises(ValueError, match="this dict"):
            parse(nested)
    while nested:  # or its end would be nested as deeply
        nested = nested.pop("a")


def test_paths_are_kept_as_written_and_opened_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/a/test")
    given = parsers.path("~/runs")
    assert str(given) == "~/runs"
    assert Path(given) == Path("/home/of/a/test/runs")
    assert parsers.name_or_path("~/weights.pt") == "/home/of/a/test/weights.pt"
    assert parsers.name_or_path("imagenet") == "imagenet"
    assert Path(parsers.path("there/./~x")) == Path("there/~x")


@pytest.mark.parametrize("parse", [parsers.path, parsers.name_or_path])
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("~no-such-user/x", "'~no-such-user/x': there is no such home folder"),
        ("a\0b", "'a\\x00b' is no path: it holds a NUL byte"),
        ("", "'' is not text"),
        (3, "3 is not text"),
    ],
)
def test_impossible_paths(parse: Any, raw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(raw)
    assert str(caught.value) == message


REGTOPK = AlgorithmSpec("regtopk", (("mu", "4"), ("q", "1e8")))


@pytest.mark.parametrize(
    ("raw", "specs"),
    [
        ("dense,topk", (AlgorithmSpec("dense"), AlgorithmSpec("topk"))),
        (["dense", "topk"], (AlgorithmSpec("dense"), AlgorithmSpec("topk"))),
        ("regtopk:mu=4,q=1e8,topk", (REGTOPK, AlgorithmSpec("topk"))),
        (["regtopk:mu=4,q=1e8", "topk"], (REGTOPK, AlgorithmSpec("topk"))),
        ("topk, regtopk:mu=4, q=1e8", (AlgorithmSpec("topk"), REGTOPK)),
        (["topk", "topk"], (AlgorithmSpec("topk"),)),
        (
            "mypackage.sparsifiers.Mine:beta=0.9",
            (AlgorithmSpec("mypackage.sparsifiers.Mine", (("beta", "0.9"),)),),
        ),
    ],
)
def test_algorithms(raw: Any, specs: tuple[AlgorithmSpec, ...]) -> None:
    assert parsers.algorithms(raw) == specs


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("topkk", 'unknown value "topkk"; did you mean "topk"?'),
        ("topk,", 'unknown value ""; known: dense, '),
        (["regtopk:mu=4", "q=1e8"], 'unknown value "q=1e8"'),
        ("regtopk:mu", "is not of the form parameter=value"),
        (3, 'unknown value "3"'),
        ([], "the list is empty"),
        (".", 'unknown value "."'),
        ("..os", 'unknown value "..os"'),
        ("pkg.", 'unknown value "pkg."'),
        ("a b.c", 'unknown value "a b.c"'),
    ],
)
def test_impossible_algorithms(raw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parsers.algorithms(raw)
    assert message in str(caught.value)
