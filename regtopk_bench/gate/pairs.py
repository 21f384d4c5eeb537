"""Times from fresh processes: two trees in pairs, or one tree beside the frozen step.

The process is the unit of sampling: what it happened to get from the machine, as its memory's
layout, all its repeats share. Both processes of a pair are started together and then timed in turn,
each while the other waits, in an order that alternates from pair to pair.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

from regtopk_bench.gate.process import Process
from regtopk_bench.gate.suite import Suite

CONTROL = "control"
"""The frozen step, the same code on both sides."""

_BUDGET_SECONDS = 0.1
"""How long a cell is timed before it is the other process's turn, and at least three times."""


def pair(
    head: Suite,
    base: Suite,
    keys: Sequence[str],
    *,
    timeout: float,
    swapped: bool,
    slowdown: float = 1.0,
) -> dict[str, float]:
    """Return log(head seconds / base seconds) for each key, and for the control.

    Args:
        head: The suite of the code under test.
        base: That of the code that it is compared with.
        keys: The cells to time, in both.
        timeout: Seconds that a process may take to time them once.
        swapped: Whether the base goes first.
        slowdown: Factor by which the cells of the head are slowed down.

    Raises:
        RunError: If a process died or hangs, or a cell failed.
    """
    with contextlib.ExitStack() as stack:
        sides = {
            suite.tree.name: stack.enter_context(Process(suite.tree, suite.request, timeout))
            for suite in (base, head)
        }
        for process in sides.values():
            process.suite()
        for process in sides.values():  # compiles, loads, remembers thresholds
            process.send(do="time", keys=list(keys), budget=0.0)
        for process in sides.values():
            process.receive()
        ours, theirs = sides[head.tree.name], sides[base.tree.name]
        order = [theirs, ours, ours, theirs] if swapped else [ours, theirs, theirs, ours]
        sums: dict[Process, dict[str, float]] = {ours: {}, theirs: {}}
        for process in order:
            factor = slowdown if process is ours else 1.0
            for key, logarithm in _timed(process, keys, factor).items():
                sums[process][key] = sums[process].get(key, 0.0) + logarithm / 2.0
    return {key: sums[ours][key] - sums[theirs][key] for key in sums[ours]}


def against_frozen(suite: Suite, keys: Sequence[str], *, timeout: float) -> dict[str, float]:
    """Return log(seconds / the frozen step's seconds) for each key, from one process.

    The control is the frozen step against itself, timed twice.

    Raises:
        RunError: If the process died or hangs, or a cell failed.
    """
    with Process(suite.tree, suite.request, timeout) as process:
        process.suite()
        process.ask(do="time", keys=list(keys), budget=0.0)
        first, second = _timed(process, keys), _timed(process, keys)
    frozen = (first[CONTROL] + second[CONTROL]) / 2.0
    ratios = {key: (first[key] + second[key]) / 2.0 - frozen for key in keys}
    return {**ratios, CONTROL: first[CONTROL] - second[CONTROL]}


def _timed(process: Process, keys: Sequence[str], slowdown: float = 1.0) -> dict[str, float]:
    """Return the logarithm of the seconds of each cell, and of the control."""
    answer = process.ask(do="time", keys=list(keys), budget=_BUDGET_SECONDS, slowdown=slowdown)
    seconds = {**answer["seconds"], CONTROL: answer["control"]}
    return {key: math.log(each) for key, each in seconds.items()}
