"""`regtopk-bench kernels`: kernels against each other and against the memory limit."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch

from regtopk_bench.cli.device import choose_device, memory_for
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.session import Session
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.experiments.environment import environment
from regtopk_bench.experiments.kernel_cells import KernelProblem, kernel_problems
from regtopk_bench.experiments.measurements import runs_of
from regtopk_bench.report.kernels import noise
from regtopk_bench.settings import KernelsSettings
from regtopk_bench.timing import Measurement, absence, candidates, measure, planned

_BUSY_LOAD = 0.5


def run_kernels(invocation: Invocation) -> None:
    """Time kernels on every distribution, size and density."""
    settings: KernelsSettings = invocation.resolved.settings
    device = choose_device(settings.device)
    _check(settings.implementation, device)
    if isinstance(settings.threads, int):
        torch.set_num_threads(settings.threads)
    if os.getloadavg()[0] > _BUSY_LOAD:
        invocation.note(
            f"the machine is already busy (load {os.getloadavg()[0]:.1f}): "
            "times will be too long; wait, or stop other programs"
        )
    session = Session(invocation, "kernels")
    try:
        session.keep(lambda: _measure_all(session, settings, device))
    finally:
        warning = noise(list(session.runs.values()))
        if warning:
            invocation.note(warning)


def _check(implementations: Sequence[str], device: str) -> None:
    """Raise ConfigurationError where one is unknown, or none that is to be timed is installed."""
    wanted = planned(implementations, device=device, restored=True)
    reasons = [absence(each) for each in wanted if each.operation != "score"]
    if reasons and all(reasons):
        raise ConfigurationError(str(reasons[0]))


def _measure_all(session: Session, settings: KernelsSettings, device: str) -> None:
    """Measure problem by problem, adding each measurement to the session at once."""
    problems, repeats = list(kernel_problems(settings, device)), settings.repeats
    environments, invocation = [environment()], session.invocation
    with Counted(invocation.err, len(problems) * repeats, "repeats") as progress:
        for number, each in enumerate(problems):
            progress.begin(f"J {each.dim:.3g} density {each.density:g}", number * repeats)
            on_repeat = None if invocation.quiet else progress.update
            measured = _measure(each, settings, on_repeat)
            session.add(runs_of(each.facts, measured, environments=environments))


def _measure(
    wanted: KernelProblem, settings: KernelsSettings, on_repeat: Callable[[int], None] | None
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
