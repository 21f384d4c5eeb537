"""Timing as the gate judges it: pairs until every verdict is clear, or time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.procedure import CONTROL, Outcome, Procedure
from regtopk_bench.results.verdict import Timing, Verdict

TIME = "time"
"""The metric of verdicts on timing."""

TakePair = Callable[[Sequence[str], int], Mapping[str, float]]
"""From the keys that are wanted and the number of the pair, to log ratios by key and of the
control."""


@dataclass
class Timer:
    """Takes pairs and judges them."""

    take: TakePair
    plan: Plan
    budget: float
    """Seconds."""
    stored: Mapping[str, Sequence[float]] | None = None
    """Log ratios that were measured before, by key, where there is no other side to pair with."""
    before: Sequence[Mapping[str, float]] = ()
    """Pairs that an interrupted run has taken already."""
    on_pair: Callable[[Mapping[str, float]], None] = lambda pair: None
    """Called with each new pair."""
    pairs: int = field(default=0, init=False)

    def outcomes(self, keys: Sequence[str]) -> dict[str, Outcome]:
        """Return the outcome for each key.

        Raises:
            RunError: If a pair could not be taken.
        """
        procedure = Procedure(keys, self.plan, self.stored)
        for pair in self.before:
            if not procedure.done and {*procedure.wanted, CONTROL} <= pair.keys():
                procedure.add(pair)
                self.pairs += 1
        until = time.monotonic() + self.budget
        while not procedure.done and time.monotonic() < until:
            pair = self.take(procedure.wanted, self.pairs)
            self.on_pair(pair)
            procedure.add(pair)
            self.pairs += 1
        return procedure.outcomes()


def verdict(key: str, name: str, outcome: Outcome, margin: float, against: str) -> Verdict:
    """Return an outcome as a verdict.

    Args:
        key: The cell's.
        name: The cell's.
        outcome: What was found.
        margin: Ratio from which a cell is slower.
        against: What the cell is compared with, in words.
    """
    return Verdict(
        cell=key,
        name=name,
        metric=TIME,
        verdict=outcome.verdict,
        reason=outcome.reason,
        sentence=_sentence(outcome, margin, against),
        timing=Timing(
            ratio=outcome.ratio,
            low=outcome.low,
            high=outcome.high,
            margin=margin,
            detectable=outcome.detectable,
            pairs=outcome.pairs,
        ),
    )


def _sentence(outcome: Outcome, margin: float, against: str) -> str:
    if not outcome.pairs:
        return "there was no time for a pair: raise --time-budget"
    measured = f"takes {outcome.ratio:.3f} times as long as {against}"
    if math.isfinite(outcome.high):
        measured += f" ({outcome.low:.3f} to {outcome.high:.3f})"
    found = f"; a slowdown of {outcome.detectable:.2f} would have been found"
    match outcome.reason:
        case "equivalent":
            return f"{measured}, within the margin of {margin:g}{found}"
        case "slower" | "faster":
            return f"{measured}, beyond the margin of {margin:g}, on two series of pairs"
        case "not-confirmed":
            return f"{measured}: a difference that a second series of pairs did not confirm{found}"
        case "control-failed":
            return (
                f"{measured}, but the reference kernel, the same on both sides, differs as well: "
                "the machine is not to be trusted now"
            )
        case "out-of-time":
            return f"{measured}: not clear yet when the time was up; raise --time-budget{found}"
    return f"{measured}: too noisy to tell{found}"
