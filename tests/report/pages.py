"""Every table that commands print, made of results that are easy and of some that are not."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from regtopk_bench.report.baseline import baseline_tables, changes_table
from regtopk_bench.report.cells import PlannedCell, cells_table
from regtopk_bench.report.doctor import doctor_tables
from regtopk_bench.report.reports import tables
from regtopk_bench.report.table import Table
from regtopk_bench.results import Result
from regtopk_bench.results.baseline import Acceptance, Baseline, BaselineCell, Metric
from regtopk_bench.results.diagnosis import DiagnosedCell, Diagnosis
from regtopk_bench.results.rates import Share
from tests.report.test_kernels import timed
from tests.results.samples import cell, check, image_run, result, run, timing, verdict

STORED = Path(__file__).parent / "tables"
WIDTHS = (40, 60, 80, 120)

LINREG = {
    "workers": 2,
    "samples": 10,
    "dim": 4,
    "learning_rate": 0.1,
    "dtype": "float64",
    "target": 1e-6,
}
CIFAR = {
    "workers": 2,
    "partition": "dirichlet:0.1",
    "batch": 8,
    "learning_rate": 0.1,
    "model": "cnn",
    "target": 0.7,
}
LONG = "package.sparsifiers.of_somebody.WithARatherLongName"
NAME = "linreg/regtopk/density=0.6/seed=0"


def descent(end: float, rounds: int) -> list[float]:
    """Return gaps that fall from 1 to a power of ten."""
    return [10.0 ** (end * number / (rounds - 1)) for number in range(rounds)]


def on_linreg(
    seeds: int,
    names: Sequence[str] = ("dense", "topk", "regtopk", "oracle"),
    rounds: int = 100,
) -> Result:
    """Return runs of these algorithms at two densities."""
    runs = []
    for seed in range(seeds):
        for number, name in enumerate(names):
            for density in (1.0,) if name == "dense" else (0.4, 0.605):
                end = -27.139 - 3.7 * number - density - 0.37 * (seed * (number + 2) % 7)
                speed = {"processes": 1, "rounds_per_second": 21123.4 / (number + 1)}
                each = run(name, seed, density=density, gaps=descent(end, rounds))
                runs.append(each.model_copy(update={"execution": speed}))
    return result(runs, **LINREG)


def with_failures() -> Result:
    """Return runs that diverged, failed, or ended with numbers that are none."""
    endless = {"processes": 1, "rounds_per_second": math.inf}
    runs = [
        run("dense", gaps=[1.0, math.inf, math.nan]),
        run("topk", gaps=[1.0] * 12345, status="diverged"),
        run("topk", 1),
        run("regtopk", gaps=[], status="failed"),
        run("randomk", gaps=[1e300, 1e-300], coordination=2**50).model_copy(
            update={"execution": endless}
        ),
        run("oracle", gaps=[0.0]),
    ]
    return result(runs, **LINREG)


def on_cifar(seeds: int) -> Result:
    """Return runs on images; all time but a little went into gradients."""
    spent = {"gradient": 987.6, "sparsify": 9.2, "exchange": 0.4, "update": 3.1}
    execution = {f"{phase}_seconds": seconds for phase, seconds in spent.items()}
    runs = [
        image_run(
            name,
            seed,
            density=density,
            traces={"accuracy": [math.nan, 0.5, 0.75 + 0.011 * seed - 0.008 * (number > 0) * seed]},
        ).model_copy(
            update={"execution": {"processes": 2, "rounds_per_second": 173.94, **execution}}
        )
        for seed in range(seeds)
        for number, name in enumerate(("dense", "topk", "regtopk"))
        for density in ((1.0,) if name == "dense" else (0.001, 0.0001))
    ]
    return result(runs, "cifar", **CIFAR)


def on_toy(names: Sequence[str] = ("dense", "topk", "regtopk", "randomk", "oracle")) -> Result:
    """Return the losses of these algorithms."""
    return result(
        [
            run(name, gaps=[1.0] * len(losses), traces={"loss": losses})
            for name, losses in (
                (name, [0.313262 / (1 + number * step) for step in range(20)])
                for number, name in enumerate(names)
            )
        ],
        "toy",
        learning_rate=0.1,
    )


def on_kernels() -> Result:
    """Return timed kernels whose medians, rounded to fewer digits, would leave their quartiles."""
    runs = [
        timed(
            operation,
            implementation,
            case,
            seconds=[1.2449e-3, 1.2441e-3, 1.2446e-3, 1.26e-3],
            limit=[4.61e-4, 4.63e-4, 4.62e-4, 4.60e-4],
            topk=[7.051e-3, 7.2e-3, 7.1e-3, 6.9e-3],
            dim=11_170_000,
            misses=1 if case == "sampled" else 0,
            exact=int(implementation != "torch.topk"),
        )
        for operation in ("step", "select")
        for implementation, case in (
            ("numba", "warm"),
            ("numba", "sampled"),
            ("numpy.argpartition", ""),
            ("torch.topk", ""),
        )
    ]
    return result(runs, "kernels")


def of_check() -> Result:
    """Return what failed, what could not be said, and times."""
    slow = timing(ratio=1.5, low=1.375, high=12345.678, detectable=None)
    return check(
        [
            verdict("FAIL", "worse", value=1.23456789e-05, baseline=1.23456788e-05, tolerance=0.0),
            verdict("NEW", "new-cell", name="kernels/step/numba, warm/ties/J=1000000/density=0.01"),
            verdict(
                "FAIL", "changed", metric="coordination_bytes", value=2**62, baseline=2**62 + 1
            ),
            verdict("PASS", "equivalent", metric="time", timing=timing()),
            verdict("FAIL", "slower", name=f"linreg/{LONG}/k=12", metric="time", timing=slow),
        ]
    )


def of_baseline() -> list[Table]:
    """Return a baseline of two cells, and what accepting a change would change."""
    cells = [cell("regtopk"), cell(LONG)]
    numbers = {
        "gap": Metric(value=1.8304917236e-27, tolerance=0.000123),
        "uplink_bytes": Metric(value=123456789012, tolerance=0.0),
    }
    shown = Baseline(
        profile="ci",
        history=[
            Acceptance(date="2026-01-01T00:00:00+00:00", reason="first baseline", commit="a" * 40),
            Acceptance(date="2026-02-03T04:05:06+00:00", reason="a better guess of the threshold"),
        ],
        environment={"cpu": "AMD EPYC 9B14", "instructions": "avx512", "torch": "2.14.0"},
        cells={
            each.key: BaselineCell(
                name=f"linreg/{each.algorithm}/density=0.5/seed=0",
                cell=each,
                metrics=numbers,
                digests={"selections": "0123456789abcdef" * 4},
            )
            for each in cells
        },
    )
    changed = verdict("FAIL", "changed", value=0.1, baseline=math.nextafter(0.1, 1.0))
    return [*baseline_tables("baseline.json", shown), changes_table([changed, verdict()])]


def of_doctor() -> list[Table]:
    """Return what was found out about a machine."""
    return doctor_tables(
        Diagnosis(
            created="2026-01-01T00:00:00+00:00",
            profile="ci",
            margin=1.1,
            slowdown=1.2,
            pairs=16,
            machine={"processors": 2, "virtual": True, "frequency": 2445.5, "governor": None},
            environment={"threads_torch": 2, "threads_numba": 2},
            false_alarms=Share(value=0.0125, low=0.0061, high=0.0222),
            passed=Share(value=0.975, low=0.96, high=0.986),
            pairs_taken=6.5,
            seconds_per_pair=12.25,
            stolen=0.0321,
            cells=[
                DiagnosedCell(
                    key="0123456789abcdef",
                    name=name,
                    noise=0.0345,
                    found=Share(value=0.987, low=0.975, high=1.0),
                    found_in_95=found,
                )
                for name, found in ((NAME, 1.183), (f"linreg/{LONG}/density=0.6/seed=0", None))
            ],
            unfit=None,
        )
    )


def of_dry_run() -> list[Table]:
    """Return cells that a check would run."""
    cells = [
        PlannedCell("0123456789abcdef", NAME, 12.34, None),
        PlannedCell("fedcba9876543210", f"linreg/{LONG}/density=0.6", 0.1, "there is no CUDA here"),
    ]
    return [cells_table("ci", cells)]


def _of(made: Callable[[], Result], *, unicode: bool = True) -> Callable[[], list[Table]]:
    return lambda: tables(made(), unicode)


PAGES: Mapping[str, Callable[[], list[Table]]] = {
    "linreg": _of(lambda: on_linreg(1)),
    "linreg-seeds": _of(lambda: on_linreg(3)),
    "linreg-1000-seeds": _of(lambda: on_linreg(1000, ("topk", "regtopk"), rounds=3)),
    "linreg-long-names": _of(lambda: on_linreg(3, ("topk", LONG, f"{LONG}2"))),
    "linreg-failures": _of(with_failures),
    "linreg-ascii": _of(lambda: on_linreg(3), unicode=False),
    "cifar": _of(lambda: on_cifar(1)),
    "cifar-seeds": _of(lambda: on_cifar(3)),
    "toy": _of(on_toy),
    "toy-long-names": _of(lambda: on_toy(("topk", LONG, f"{LONG}2"))),
    "kernels": _of(on_kernels),
    "check": _of(of_check),
    "baseline": of_baseline,
    "doctor": of_doctor,
    "dry-run": of_dry_run,
}
"""Makes the tables, by name; those with `ascii` are for a terminal that has no other characters."""


@functools.cache
def tables_of(name: str) -> Sequence[Table]:
    """Return the tables of a page."""
    return PAGES[name]()


def printed(name: str, width: int) -> str:
    """Return the tables of a page as a terminal of a width shows them."""
    encoding = "ascii" if "ascii" in name else "utf-8"
    return "\n".join(shown(table, width, encoding) for table in tables_of(name))


def shown(table: Table, width: int, encoding: str = "utf-8") -> str:
    """Return a table as a terminal shows it."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    table.print_to(Console(file=file, width=width, color_system=None))
    file.seek(0)
    return file.read()


def stored(name: str, width: int) -> Path:
    """Return the file of a page."""
    return STORED / f"{name}-{width}.txt"
