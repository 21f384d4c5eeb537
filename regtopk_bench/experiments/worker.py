"""A process that runs and times the cells of a suite for the gate: `python -m` this module.

It reads one JSON object to a line from stdin, and answers each with one on what was stdout; what
the cells themselves print goes to stderr. It ends with its stdin. The first request describes the
suite; then `run` and `time` refer to its cells by their keys. A process of another
version of the package may be at the other end: see `PROTOCOL`.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from regtopk_bench.algorithms import AlgorithmSpec, parse_spec
from regtopk_bench.errors import ConfigurationError, RegtopkBenchError, suggest
from regtopk_bench.experiments.environment import environment
from regtopk_bench.experiments.grids import sparsifiers
from regtopk_bench.experiments.suites import pairs_of, skip_reason, tasks_of
from regtopk_bench.experiments.tasks import Task, slowed
from regtopk_bench.settings import WORKLOADS, Claim, declarations, from_json
from regtopk_bench.sparsify import sparsifier_class
from regtopk_bench.timing import FrozenStep, planned
from regtopk_bench.timing.frozen import VERSION as FROZEN_VERSION

PROTOCOL = 1
"""Raised when requests or answers change their meaning."""

_CONTROL = "control"
_TURNS = 3
"""How often cells take turns while they are timed."""
_QUARTILE = 25
"""The percentile of a process's times that stands for it: what disturbs only makes slower."""


class Worker:
    """A suite, and answers to requests about its cells."""

    def __init__(self) -> None:
        """Wait for a suite."""
        self._tasks: dict[str, Task] = {}
        self._frozen: FrozenStep | None = None

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a request asks for."""
        known: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "suite": self._suite,
            "run": self._run,
            "time": self._time,
        }
        wanted = request["do"]
        if wanted not in known:
            raise ConfigurationError(f'no request "{wanted}"{suggest(str(wanted), known)}')
        return known[wanted](request)

    def _suite(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Take the suite, and list its cells."""
        unknown: list[str] = []
        wanted = request["workloads"]
        if request["tolerant"]:
            wanted = _known(wanted, unknown)
        workloads = {command: _settings(command, values) for command, values in wanted.items()}
        self._tasks = {task.record.key: task for task in tasks_of(workloads)}
        return {
            "protocol": PROTOCOL,
            "frozen": FROZEN_VERSION,
            "environment": environment(),
            "files": sorted(_files(workloads)),
            "unknown": unknown,
            "cells": [_listed(task) for task in self._tasks.values()],
            "claims": [self._claim(_read_claim(each)) for each in request["claims"]],
        }

    def _claim(self, claim: Claim) -> dict[str, Any]:
        """Return a claim with the cells that it is about.

        Raises:
            ConfigurationError: If it is about none.
        """
        pairs = pairs_of(claim, list(self._tasks.values()))
        if not pairs:
            raise ConfigurationError(f"a claim is about no two cells of the suite: {claim}")
        facts = {"metric": claim.metric, "decades": claim.decades, "text": str(claim)}
        return {**facts, "pairs": pairs}

    def _run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run a cell; on request, see how firm its numbers are."""
        task = self._tasks[request["key"]]
        run = task.run()
        nudged = task.nudged(run) if request.get("nudge") else {}
        return {"run": run.model_dump(mode="json"), "nudged": nudged}

    def _time(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Time cells and the frozen step in turn; return the lower quartile of each, in seconds.

        The request says how many seconds each may take, and by which factor cells are slowed down.
        """
        if self._frozen is None:
            self._frozen = FrozenStep()
        factor = request.get("slowdown", 1.0)
        calls = {_CONTROL: self._frozen.seconds}
        for key in request["keys"]:
            calls[key] = functools.partial(slowed, self._tasks[key].seconds, factor)
        taken: dict[str, list[float]] = {key: [] for key in calls}
        for _ in range(_TURNS):
            for key, call in calls.items():
                until = time.perf_counter() + request["budget"] / _TURNS
                taken[key].append(call())
                while time.perf_counter() < until:
                    taken[key].append(call())
        seconds = {key: float(np.percentile(each, _QUARTILE)) for key, each in taken.items()}
        return {"control": seconds.pop(_CONTROL), "seconds": seconds}


def _read_claim(values: Mapping[str, Any]) -> Claim:
    declared = declarations(Claim)
    return Claim(**{name: from_json(declared[name], value) for name, value in values.items()})


def _listed(task: Task) -> dict[str, Any]:
    return {
        "cell": task.record.model_dump(mode="json"),
        "estimate": task.estimate(),
        "skip": skip_reason(task),
    }


def _known(workloads: Mapping[str, Any], unknown: list[str]) -> dict[str, Any]:
    """Return the workloads without what this version of the code does not have.

    Settings that it does not have are left out, and algorithms and kernels that cannot be made,
    which are noted in `unknown`; so are workloads of which nothing is left.
    """
    found: dict[str, Any] = {}
    for command, given in workloads.items():
        if command not in WORKLOADS:
            continue
        declared = declarations(WORKLOADS[command])
        values = {name: each for name, each in given.items() if name in declared}
        for name in ("algorithm", "implementation"):
            if name in values:
                values[name] = [each for each in values[name] if _is_known(each, values, unknown)]
        if [] not in (values.get("algorithm"), values.get("implementation")):
            found[command] = values
    return found


def _is_known(text: str, values: Mapping[str, Any], unknown: list[str]) -> bool:
    """Tell whether an algorithm, or a kernel, can be made; if not, note it."""
    try:
        if "algorithm" in values:
            sparsifiers([parse_spec(text)], values["density"], values["k"])
        else:
            planned([text], device="cpu", restored=True)
    except ValueError:  # a ConfigurationError is one, too
        unknown.append(text)
        return False
    return True


def _settings(command: str, values: Mapping[str, Any]) -> Any:
    """Return a command's settings from their stored values."""
    declared = declarations(WORKLOADS[command])
    try:
        return WORKLOADS[command](
            **{name: from_json(declared[name], value) for name, value in values.items()}
        )
    except ValueError as error:
        raise ConfigurationError(f"{command}: {error}") from error


def _files(workloads: Mapping[str, Any]) -> set[str]:
    """Return where the code under test is: the package, algorithms and kernels from elsewhere."""
    modules = {"regtopk_bench"}
    for settings in workloads.values():
        modules |= {sparsifier_class(each.name).__module__ for each in _algorithms(settings)}
        modules |= {each for each in getattr(settings, "implementation", ()) if "." in each}
    files = (getattr(sys.modules.get(name), "__file__", None) for name in modules)
    return {str(Path(file).resolve()) for file in files if file}


def _algorithms(settings: Any) -> tuple[AlgorithmSpec, ...]:
    return getattr(settings, "algorithm", ())


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until they end."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, waiting), daemon=True).start()
    worker = Worker()
    while True:
        try:
            answer = worker.answer(json.loads(waiting.get()))
        except RegtopkBenchError as error:
            answer = {"error": str(error), "exit_code": error.exit_code}
        except Exception as error:  # a foreign cell may raise anything
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}", "exit_code": 3}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _read(requests: TextIO, waiting: queue.SimpleQueue[str]) -> None:
    """Pass requests on; end the process when whoever sends them has ended, whatever it does."""
    for line in requests:
        waiting.put(line)
    os._exit(0)


def main() -> None:
    """Serve on stdin and stdout, which cells do not get to see."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    serve(requests, answers)


if __name__ == "__main__":
    main()
