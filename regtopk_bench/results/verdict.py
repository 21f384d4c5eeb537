"""A verdict: what the gate concludes about one metric of one cell."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator

from regtopk_bench.results.values import IntOrFloat, Model

Kind = Literal["PASS", "FAIL", "INCONCLUSIVE", "NEW", "MISSING", "BETTER", "SKIPPED"]

Reason = Literal[
    "equal",
    "within-tolerance",
    "changed",
    "worse",
    "better",
    "other-machine",
    "new-cell",
    "new-metric",
    "missing-cell",
    "missing-metric",
    "unavailable",
    "crashed",
    "timed-out",
    "diverged",
    "claim-holds",
    "claim-broken",
    "equivalent",
    "slower",
    "faster",
    "not-confirmed",
    "too-noisy",
    "out-of-time",
    "control-failed",
    "machine-unfit",
    "not-timed",
]
"""Why: for programs; `Verdict.sentence` is for people."""


def _none_if_not_finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Shown = Annotated[IntOrFloat | None, BeforeValidator(_none_if_not_finite)]
"""A number; None where there is none, or it is not finite."""


class Timing(Model):
    """How much slower one side is than the other."""

    ratio: Shown
    """Head over base; 1.1 is 10 % slower."""
    low: Shown
    """Lower end of its confidence interval, at the level of the verdict."""
    high: Shown
    """Upper end of it."""
    margin: float
    """Slower by more is a regression."""
    detectable: Shown
    """The smallest ratio that would have been found with probability 0.95."""
    pairs: int
    """Pairs of processes, each with one figure."""


class Verdict(Model):
    """What the gate concludes about one metric of one cell."""

    cell: str
    """The cell's key."""
    name: str
    """Its name, for people."""
    metric: str
    verdict: Kind
    reason: Reason
    sentence: str
    value: Shown = None
    baseline: Shown = None
    tolerance: Shown = None
    """How far the value may be from the baseline's; 0: not at all."""
    timing: Timing | None = None


def told_apart(value: int | float | None, other: int | float | None) -> tuple[str, str]:
    """Return two numbers in nine digits, or in all that they have if they look the same then."""
    short = _number(value), _number(other)
    if short[0] == short[1] and value is not None and other is not None and value != other:
        return repr(value), repr(other)
    return short


def _number(value: int | float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.9g}" if isinstance(value, float) else str(value)
