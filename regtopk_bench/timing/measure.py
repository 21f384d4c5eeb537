"""Contenders timed in turn, against the limit and against each other."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from regtopk_bench.timing.clock import Clock
from regtopk_bench.timing.contenders import Contender
from regtopk_bench.timing.problem import Problem

_WARM_UP = 3
_LEAST_REPEATS = 3


@dataclass
class Measurement:
    """What was measured of a contender.

    Attributes:
        contender: Who.
        exact: Whether it selects what a stable sort does, checked before it was timed; None
            where it selects nothing.
        seconds: For each repeat; NaN where a slow contender was not repeated.
        limit_seconds: Of `residual += gradient`, in the same repeats.
        rounds: Steps that used a remembered threshold, while they were timed.
        misses: How often it did not hold.
    """

    contender: Contender
    exact: bool | None
    seconds: list[float] = field(default_factory=list)
    limit_seconds: list[float] = field(default_factory=list)
    rounds: int = 0
    misses: int = 0


def measure(
    data: Problem,
    contenders: Sequence[Contender],
    clock: Clock,
    *,
    repeats: int,
    budget: float = 2.0,
    on_repeat: Callable[[int], None] | None = None,
) -> list[Measurement]:
    """Time all contenders, one after the other, in each of some repeats.

    Args:
        data: What they work on.
        contenders: Who is timed.
        clock: How.
        repeats: How often.
        budget: Seconds after which a contender is not repeated any more, if it was three times.
        on_repeat: Called after each repeat with their number.
    """
    measured = [Measurement(contender, _is_exact(contender)) for contender in contenders]
    for contender in contenders:
        for repeat in range(_WARM_UP if not contender.slow else 0):
            contender.prepare(repeat)
            contender.run()
    before = [contender.misses() for contender in contenders]
    target = torch.zeros_like(data.start_1J)
    for repeat in range(repeats):
        grad = data.grads[repeat % len(data.grads)]
        limit = clock.seconds(functools.partial(target.add_, grad))
        for each in measured:
            done = [seconds for seconds in each.seconds if not math.isnan(seconds)]
            tired = len(done) >= _LEAST_REPEATS and sum(done) > budget
            if not tired:
                each.contender.prepare(_WARM_UP + repeat)
                each.rounds += 1
            each.seconds.append(math.nan if tired else clock.seconds(each.contender.run))
            each.limit_seconds.append(limit)
        if on_repeat:
            on_repeat(repeat + 1)
    for each, misses in zip(measured, before, strict=True):
        each.misses = each.contender.misses() - misses
    return measured


def _is_exact(contender: Contender) -> bool | None:
    contender.prepare(0)
    selected = contender.run()
    if selected is None:
        return None
    expected = contender.expected()
    return bool(torch.equal(selected.sort().values, expected))
