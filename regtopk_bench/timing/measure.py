"""Candidates timed in turn, against the memory limit and against each other."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from regtopk_bench.arguments import is_real, shown, whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.timing.candidates import Candidate
from regtopk_bench.timing.clock import Clock
from regtopk_bench.timing.problem import KernelData

_WARM_UP = 3
_LEAST_REPEATS = 3


@dataclass
class Measurement:
    """The measurements of a candidate.

    Attributes:
        candidate: What was timed.
        exact: Whether it selects what a stable sort does, checked before it was timed; None
            where it selects nothing.
        seconds: For each repeat; NaN where a slow candidate was not repeated.
        memory_limit_seconds: Of `residual += gradient`, in the same repeats. No step that must
            read and write as much can be faster.
        rounds: How often it was timed.
        misses: How often it did not hold.
    """

    candidate: Candidate
    exact: bool | None
    seconds: list[float] = field(default_factory=list)
    memory_limit_seconds: list[float] = field(default_factory=list)
    rounds: int = 0
    misses: int = 0


def measure(
    data: KernelData,
    candidates: Sequence[Candidate],
    clock: Clock,
    *,
    repeats: int,
    budget: float = 2.0,
    on_repeat: Callable[[int], None] | None = None,
) -> list[Measurement]:
    """Time all candidates, one after the other, in each repeat.

    Args:
        data: The data they work on.
        candidates: What is timed.
        clock: Measures each call.
        repeats: How often each candidate is timed.
        budget: Seconds after which a candidate is no longer repeated, once it has been timed
            three times.
        on_repeat: Called after each repeat with the number of those done.

    Raises:
        ConfigurationError: If there is nothing to repeat.
    """
    repeats = whole(repeats, "repeats", 1)
    if not (is_real(budget) and budget >= 0.0):
        raise ConfigurationError(f"budget {shown(budget)} is not a number of seconds")
    measured = [Measurement(candidate, _is_exact(candidate)) for candidate in candidates]
    for candidate in candidates:
        for repeat in range(_WARM_UP if not candidate.slow else 0):
            candidate.prepare(repeat)
            candidate.run()
    before = [candidate.misses() for candidate in candidates]
    target = torch.zeros_like(data.start_1J)
    for repeat in range(repeats):
        grad = data.grads[repeat % len(data.grads)]
        memory_limit = clock.seconds(functools.partial(target.add_, grad))
        for each in measured:
            done = [seconds for seconds in each.seconds if not math.isnan(seconds)]
            over_budget = len(done) >= _LEAST_REPEATS and sum(done) > budget
            if not over_budget:
                each.candidate.prepare(_WARM_UP + repeat)
                each.rounds += 1
            seconds = math.nan if over_budget else clock.seconds(each.candidate.run)
            each.seconds.append(seconds)
            each.memory_limit_seconds.append(memory_limit)
        if on_repeat:
            on_repeat(repeat + 1)
    for each, misses in zip(measured, before, strict=True):
        each.misses = each.candidate.misses() - misses
    return measured


def _is_exact(candidate: Candidate) -> bool | None:
    candidate.prepare(0)
    selected = candidate.run()
    if selected is None:
        return None
    expected = candidate.expected()
    return bool(torch.equal(selected.sort().values, expected))
