"""`regtopk-bench kernels`: kernels against each other and against the memory limit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from regtopk_bench import memory
from regtopk_bench.cli.device import choose_device, memory_for
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.session import Session
from regtopk_bench.experiments.environment import environment
from regtopk_bench.experiments.measurements import runs_of
from regtopk_bench.report.kernels import noise
from regtopk_bench.results import Scalar
from regtopk_bench.settings import KernelsSettings
from regtopk_bench.sparsify.density import Budget
from regtopk_bench.timing import CpuClock, CudaClock, Measurement, candidates, measure, problem

_BUSY_LOAD = 0.5
_ROWS = 6
"""What the data of a problem takes at least, in rows of J values."""


def run_kernels(invocation: Invocation) -> None:
    """Time kernels on every distribution, size and density."""
    settings: KernelsSettings = invocation.resolved.settings
    device = choose_device(settings.device)
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


def _measure_all(session: Session, settings: KernelsSettings, device: str) -> None:
    """Measure problem by problem, adding each measurement to the session at once."""
    problems, repeats = list(_cases(settings, device)), settings.repeats
    environments, invocation = [environment()], session.invocation
    with Counted(invocation.err, len(problems) * repeats, "repeats") as progress:
        for number, each in enumerate(problems):
            progress.begin(f"J {each.dim:.3g} density {each.density:g}", number * repeats)
            on_repeat = None if invocation.quiet else progress.update
            measured = _measure(each, settings, on_repeat)
            session.add(runs_of(each.facts, measured, environments=environments))


@dataclass(frozen=True)
class _Case:
    """The data that kernels are timed on."""

    distribution: str
    dim: int
    density: float
    dtype: str
    device: str

    @property
    def facts(self) -> dict[str, Scalar]:
        """What the result records about it."""
        threads = torch.get_num_threads() if self.device == "cpu" else None
        return {**vars(self), "threads": threads}


def _cases(settings: KernelsSettings, device: str) -> Iterator[_Case]:
    for distribution in settings.distribution:
        for dim in settings.size:
            for density in settings.density:
                yield _Case(distribution, dim, density, settings.dtype, device)


def _measure(
    wanted: _Case, settings: KernelsSettings, on_repeat: Callable[[int], None] | None
) -> list[Measurement]:
    """Make the data and time every candidate on it.

    Raises:
        RunError: If there is no memory for the data.
    """
    k, dtype = Budget(density=wanted.density).entries(wanted.dim), getattr(torch, wanted.dtype)
    with memory_for(f"J = {wanted.dim}", "give a smaller --size"):
        if wanted.device == "cpu" and _ROWS * wanted.dim * dtype.itemsize > memory.present():
            raise MemoryError
        data = problem(wanted.distribution, wanted.dim, k, dtype, wanted.device)
        return measure(
            data,
            list(candidates(data, settings.implementation)),
            CudaClock() if wanted.device == "cuda" else CpuClock(),
            repeats=settings.repeats,
            on_repeat=on_repeat,
        )
