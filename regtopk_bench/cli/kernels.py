"""`regtopk-bench kernels`: kernels against each other and against the memory limit."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from regtopk_bench.cli.device import choose_device, memory_for, note_if_busy
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.session import Session
from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.experiments.environment import environment
from regtopk_bench.experiments.kernel_cells import KernelProblem, kernel_problems
from regtopk_bench.experiments.measurements import runs_of
from regtopk_bench.report.kernels import noise
from regtopk_bench.settings import KernelsSettings
from regtopk_bench.timing import (
    Measurement,
    absence,
    candidates,
    measure,
    planned,
    runs_on,
    unavailable,
)

_BY_NAME = ("flag", "environment")
"""Sources of settings that whoever makes the call has written."""


def run_kernels(invocation: Invocation) -> None:
    """Time kernels on every distribution, size and density."""
    settings: KernelsSettings = invocation.resolved.settings
    device = choose_device(settings.device)
    _check_implementations(invocation, device)
    if isinstance(settings.threads, int):
        torch.set_num_threads(settings.threads)
    note_if_busy(invocation)
    session = Session(invocation, "kernels")
    try:
        session.keep(lambda: _measure_all(session, settings, device))
    finally:
        warning = noise(list(session.runs.values()))
        if warning:
            invocation.note(warning)


def _check_implementations(invocation: Invocation, device: str) -> None:
    """Check that what was asked for by name can run here; say what else is left out.

    Raises:
        ConfigurationError: If something is unknown, is not installed, or is made for another device
            than the one that was chosen; or if nothing is left to be timed.
        RunError: If a device is missing.
    """
    settings: KernelsSettings = invocation.resolved.settings
    lacking = unavailable(settings.implementation, device=device)
    told = [f"{name} cannot be timed on {device}: {why}" for name, why in lacking.items()]
    left = planned(settings.implementation, device=device, restored=True)
    if invocation.resolved.sources["implementation"] in _BY_NAME:
        for name, why in zip(lacking, told, strict=True):
            if not runs_on(name, device):
                if settings.device != "auto" or device == "cuda":
                    other = "cpu" if device == "cuda" else "cuda"
                    raise ConfigurationError(
                        f"{why}: give --device {other}, or leave {name} out of --implementation"
                    )
                raise RunError(f"{why}, and PyTorch sees no CUDA device here")
            raise ConfigurationError(why)
    if not any(absence(each) is None for each in left if each.operation != "score"):
        raise ConfigurationError(f"there is nothing to time: {told[0]}")
    if lacking:
        reasons = ", ".join(f"{name} ({why})" for name, why in lacking.items())
        invocation.note(f"left out: {reasons}")


def _measure_all(session: Session, settings: KernelsSettings, device: str) -> None:
    """Measure problem by problem, adding each measurement to the session at once."""
    problems, repeats = list(kernel_problems(settings, device)), settings.repeats
    environments, invocation = [environment()], session.invocation
    entries = sum(each.dim for each in problems) * repeats / 1e6
    with Counted(invocation, entries, "M entries") as progress:
        advice = "keeps what is done" if session.folder else "prints what is done"
        progress.estimate(f"{len(problems)} problems", f"Ctrl-C {advice}", problems[0].dim / 1e6)
        before = 0.0
        for number, each in enumerate(problems, start=1):
            name = f"J {each.dim:.3g} density {each.density:g}"
            progress.begin(f"problem {number} of {len(problems)}, {name}", before)
            progress.update(0)
            size = each.dim / 1e6
            measured = _measure(each, settings, functools.partial(_update, progress, size))
            session.add(runs_of(each.facts, measured, environments=environments))
            before += repeats * size


def _update(progress: Counted, size: float, repeats: int) -> None:
    progress.update(repeats * size)


def _measure(
    wanted: KernelProblem, settings: KernelsSettings, on_repeat: Callable[[int], None]
) -> list[Measurement]:
    """Make the data and time every candidate on it.

    Raises:
        RunError: If there is no memory for the data.
    """
    with memory_for(f"J = {wanted.dim}", "give a smaller --size"):
        data = wanted.data()
        return measure(
            data,
            list(candidates(data, settings.implementation)),
            wanted.clock(),
            repeats=settings.repeats,
            on_repeat=on_repeat,
        )
