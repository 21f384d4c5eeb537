"""`regtopk-bench kernels`: kernels against each other and against the limit of memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch

from regtopk_bench.cli.device import choose_device
from regtopk_bench.cli.experiment import Experiment
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.errors import RunError
from regtopk_bench.report.kernels import noise
from regtopk_bench.results import Scalar
from regtopk_bench.results.runs import runs_of_measurements
from regtopk_bench.settings import KernelsSettings
from regtopk_bench.sparsify.density import Budget
from regtopk_bench.timing import CpuClock, CudaClock, contenders, measure, problem

_BUSY_LOAD = 0.5


def run_kernels(invocation: Invocation) -> None:
    """Time kernels on every distribution, size and density."""
    settings: KernelsSettings = invocation.resolved.settings
    device = choose_device(settings.device)
    if isinstance(settings.threads, int):
        torch.set_num_threads(settings.threads)
    if os.getloadavg()[0] > _BUSY_LOAD:
        invocation.note(
            f"the machine is busy already (load {os.getloadavg()[0]:.1f}): "
            "times will be too long; wait, or stop what else runs"
        )
    experiment = Experiment(invocation, "kernels")
    try:
        experiment.keep(lambda _: _measure_all(experiment, settings, device))
    finally:
        warning = noise(experiment.runs)
        if warning:
            invocation.note(warning)


def _measure_all(experiment: Experiment, settings: KernelsSettings, device: str) -> bool:
    """Measure case by case; return whether all had their turn."""
    clock = CudaClock() if device == "cuda" else CpuClock()
    dtype = getattr(torch, settings.dtype)
    cases = list(_cases(settings))
    invocation = experiment.invocation
    with Counted(invocation.err, len(cases) * settings.repeats, "repeats") as progress:
        for number, (distribution, dim, density) in enumerate(cases):
            k = Budget(density=density).entries(dim)
            cell: dict[str, Scalar] = {
                "distribution": distribution,
                "dim": dim,
                "density": density,
                "dtype": settings.dtype,
                "device": device,
                "threads": torch.get_num_threads() if device == "cpu" else None,
            }
            progress.begin(f"J {dim:.3g} density {density:g}", number * settings.repeats)
            try:
                data = problem(distribution, dim, k, dtype, device)
                measured = measure(
                    data,
                    list(contenders(data, settings.implementation)),
                    clock,
                    repeats=settings.repeats,
                    on_repeat=None if invocation.quiet else progress.update,
                )
            except (MemoryError, RuntimeError) as error:
                if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
                    raise
                raise RunError(f"no memory for J = {dim}: give a smaller --size") from error
            experiment.runs += runs_of_measurements(cell, measured)
    return True


def _cases(settings: KernelsSettings) -> Iterator[tuple[str, int, float]]:
    for distribution in settings.distribution:
        for dim in settings.size:
            for density in settings.density:
                yield distribution, dim, density
