"""`regtopk-bench doctor`: how well can timing gate on this machine?"""

from __future__ import annotations

import os
from pathlib import Path

import typer

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.suite import bench_of
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.gate.doctor import Doctor
from regtopk_bench.report.doctor import doctor_tables
from regtopk_bench.report.table import print_report
from regtopk_bench.results import diagnosis
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.settings import DoctorSettings, resolve

_INCONCLUSIVE = 4


def run_doctor(invocation: Invocation) -> None:
    """Measure pairs, print what they say of this machine, and keep it for checks."""
    settings: DoctorSettings = invocation.resolved.settings
    with bench_of(invocation) as bench:
        suite = bench.suite
    gate = resolve("check", {}, os.environ, invocation.file, invocation.profile).settings
    keys = suite.timed(gate.time, suite.cells)
    if not keys:
        raise ConfigurationError(f"profile {suite.profile}: none of its cells can be timed here")
    plan = Plan(margin=gate.margin)
    doctor = Doctor(suite, keys, plan, settings.slowdown, settings.cell_timeout)
    with Counted(invocation, settings.pairs, "pairs") as progress:
        progress.estimate(f"{settings.pairs} pairs", "Ctrl-C discards what is done")
        progress.begin("timing the same code twice")
        progress.update(0)
        found = doctor.examine(settings.pairs, progress.update)
    print_report(
        invocation.out,
        settings.format,
        name="doctor",
        tables=lambda: doctor_tables(found),
        document=lambda: diagnosis.dump(found),
    )
    invocation.note(f"kept for checks in {diagnosis.store(found, Path(settings.cache))}")
    if settings.strict and found.unfit:
        raise typer.Exit(_INCONCLUSIVE)
