"""The rules of other gates, which `benchmarks/gate.py` tries beside this one."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from regtopk_bench.errors import ConfigurationError

RULES = runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "rivals.py"))
by_mann_whitney, by_threshold = RULES["by_mann_whitney"], RULES["by_threshold"]

BASE = np.linspace(1.0, 1.02, 12)


@pytest.mark.parametrize("rule", [by_threshold, by_mann_whitney])
@pytest.mark.parametrize(
    ("factor", "change"),
    [(1.2, "slower"), (1.05, "unchanged"), (0.95, "unchanged"), (0.8, "faster")],
)
def test_medians_are_compared(rule: Callable[..., str], factor: float, change: str) -> None:
    assert rule(factor * BASE, BASE) == change


def test_only_one_rule_asks_whether_times_differ() -> None:
    head = np.concatenate([BASE[:5] * 0.9, BASE[5:] * 1.15])
    assert by_threshold(head, BASE) == "slower"
    assert by_mann_whitney(head, BASE, p=0.0005) == "unchanged"


def test_few_times_are_never_enough_to_differ() -> None:
    assert by_mann_whitney(10 * BASE[:6], BASE[:6]) == "unchanged"
    assert by_mann_whitney(10 * BASE[:7], BASE[:7]) == "slower"


@pytest.mark.parametrize("wrong", [[], [0.0], [-1.0], [math.nan], [math.inf], [[1.0]]])
@pytest.mark.parametrize("rule", [by_threshold, by_mann_whitney])
def test_times_are_checked(rule: Callable[..., str], wrong: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="seconds: expected"):
        rule(wrong, BASE)
    with pytest.raises(ConfigurationError, match="seconds: expected"):
        rule(BASE, wrong)
