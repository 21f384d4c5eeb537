from __future__ import annotations

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


@pytest.mark.parametrize("raw", ["", "a", "4-1", "-3", "1-", "0-100000"])
def test_impossible_seeds(raw: str) -> None:
    with pytest.raises(ValueError, match=r"is not|holds more"):
        parsers.seeds(raw)


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
    ],
)
def test_impossible_algorithms(raw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parsers.algorithms(raw)
    assert message in str(caught.value)
