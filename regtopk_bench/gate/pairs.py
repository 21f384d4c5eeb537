"""Times from fresh processes: two trees in pairs, or one tree beside the frozen step.

The process is the unit of sampling: what it happened to get from the machine, as its memory's
layout, all its repeats share. Both processes of a pair are started together and then timed in turn,
each while the other waits, in an order that alternates from pair to pair.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regtopk_bench.gate.process import Process
from regtopk_bench.gate.suite import Suite

CONTROL = "control"
"""The frozen step, the same code on both sides."""

_BUDGET_SECONDS = 0.1
"""How long a cell is timed before it is the other process's turn, and at least three times."""


_RUNS = 4
"""As often as a slow cell is run at most, to be timed before it is the other process's turn."""


@dataclass(frozen=True)
class PairTimes:
    """What a pair of processes took: logarithms of seconds, by key; the control is among them."""

    head: Mapping[float, Mapping[str, float]]
    """By the factor by which its cells were slowed down."""
    base: Mapping[str, float]

    def log_ratios(self, slowdown: float = 1.0) -> dict[str, float]:
        """Return log(head seconds / base seconds) for each key, and for the control."""
        return {key: seconds - self.base[key] for key, seconds in self.head[slowdown].items()}


def pair(
    head: Suite, base: Suite, keys: Sequence[str], *, timeout: float, swapped: bool
) -> dict[str, float]:
    """Return log(head seconds / base seconds) for each key, and for the control: see `times`."""
    return times(head, base, {1.0: keys}, timeout=timeout, swapped=swapped).log_ratios()


def times(
    head: Suite,
    base: Suite,
    wanted: Mapping[float, Sequence[str]],
    *,
    timeout: float,
    swapped: bool,
) -> PairTimes:
    """Time cells in a pair of processes.

    Args:
        head: The suite of the code under test.
        base: That of the code that it is compared with.
        wanted: The keys of the cells to time, by the factor by which the head's are slowed down;
            1 for the code as it is.
        timeout: Seconds that a cell may take.
        swapped: Whether the base goes first.

    Raises:
        RunError: If a process died or hangs, or a cell failed.
    """
    every = list(dict.fromkeys(key for keys in wanted.values() for key in keys))
    with contextlib.ExitStack() as stack:
        theirs, ours = (
            stack.enter_context(Process(suite.tree, suite.request, timeout))
            for suite in (base, head)
        )
        for process in (theirs, ours):
            process.suite()
        for process in (theirs, ours):  # compiles, loads, remembers thresholds
            process.send(do="time", keys=every, budget=0.0)
        for process in (theirs, ours):
            process.receive(_runs(every))
        heads: dict[float, list[dict[str, float]]] = {factor: [] for factor in wanted}
        bases: list[dict[str, float]] = []
        order = [theirs, ours, ours, theirs] if swapped else [ours, theirs, theirs, ours]
        for process in order:
            if process is theirs:
                bases.append(_timed(process, every))
                continue
            for factor, keys in wanted.items():
                heads[factor].append(_timed(process, keys, factor))
    return PairTimes({factor: _mean(each) for factor, each in heads.items()}, _mean(bases))


def _mean(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: sum(turn[key] for turn in turns) / len(turns) for key in turns[0]}


def against_frozen(suite: Suite, keys: Sequence[str], *, timeout: float) -> dict[str, float]:
    """Return log(seconds / the frozen step's seconds) for each key, from one process.

    The control is the frozen step against itself, timed twice. A cell may take `timeout` seconds.

    Raises:
        RunError: If the process died or hangs, or a cell failed.
    """
    with Process(suite.tree, suite.request, timeout) as process:
        process.suite()
        process.send(do="time", keys=list(keys), budget=0.0)
        process.receive(_runs(keys))
        first, second = _timed(process, keys), _timed(process, keys)
    frozen = (first[CONTROL] + second[CONTROL]) / 2.0
    ratios = {key: (first[key] + second[key]) / 2.0 - frozen for key in keys}
    return {**ratios, CONTROL: first[CONTROL] - second[CONTROL]}


def _runs(keys: Sequence[str], slowdown: float = 1.0) -> int:
    """Return how many runs of a cell the times of some cells may take as long as."""
    return math.ceil(_RUNS * len(keys) * slowdown)


def _timed(process: Process, keys: Sequence[str], slowdown: float = 1.0) -> dict[str, float]:
    """Return the logarithm of the seconds of each cell, and of the control."""
    process.send(do="time", keys=list(keys), budget=_BUDGET_SECONDS, slowdown=slowdown)
    answer = process.receive(_runs(keys, slowdown))
    seconds = {**answer["seconds"], CONTROL: answer["control"]}
    return {key: math.log(each) for key, each in seconds.items()}
