"""Every table that commands print, made of results that are easy and of some that are not."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from regtopk_bench.cli.config import settings_table
from regtopk_bench.report.baseline import baseline_tables, changes_table
from regtopk_bench.report.cells import PlannedCell, cells_table
from regtopk_bench.report.compared import compare
from regtopk_bench.report.doctor import doctor_tables
from regtopk_bench.report.folders import CachePart, SavedRun, cache_table, runs_table
from regtopk_bench.report.reports import tables
from regtopk_bench.report.side_by_side import side_by_side
from regtopk_bench.report.step_cost import cost_tables
from regtopk_bench.report.table import Table
from regtopk_bench.results import Result, Run, Setting
from regtopk_bench.results.baseline import Acceptance, Baseline, BaselineCell, Metric
from regtopk_bench.results.costs import Rounds
from regtopk_bench.results.diagnosis import DiagnosedCell, Diagnosis
from regtopk_bench.results.pairing import measured
from regtopk_bench.results.rates import Share
from regtopk_bench.settings import Resolved, declarations
from regtopk_bench.settings.commands import LinregSettings
from tests.report.test_kernels import timed
from tests.results.costed import OTHER, costs, entry
from tests.results.samples import IMAGES, RECIPE, cell, check, result, run, timing, verdict

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


def with_failures_on_some_seeds() -> Result:
    """Return runs of three seeds, of which some algorithms lost one, or all."""
    recipe = RECIPE | {"rounds": 100}
    runs = []
    for number, name in enumerate(("dense", "topk", "regtopk", "randomk", "oracle")):
        for seed in range(3):
            gaps = descent(-7.13 - 2.1 * number - 0.31 * (seed * (number + 2) % 7), 100)
            lost = {"regtopk": "diverged", "oracle": "stopped"} if seed == 1 else {}
            status = {"randomk": "failed", **lost}.get(name, "finished")
            ended = 100 if status == "finished" else 12 + seed
            runs.append(run(name, seed, gaps=gaps[:ended], status=status, recipe=recipe))
    return result(runs, **LINREG)


def on_images(name: str, seed: int = 0, *, accuracies: Sequence[float] = (), **changes: Any) -> Run:
    """Return a run on images with these accuracies, whose time nearly all went into gradients."""
    spent = {"gradient": 987.6, "sparsify": 9.2, "exchange": 0.4, "update": 3.1}
    execution = {f"{phase}_seconds": seconds for phase, seconds in spent.items()}
    losses = [1.0 / number for number in range(1, len(accuracies) + 1)]
    found = run(
        name,
        seed,
        problem=IMAGES,
        gaps=[1.0] * len(accuracies),
        traces={"accuracy": list(accuracies), "loss": losses},
        **changes,
    )
    return found.model_copy(
        update={"execution": {"processes": 2, "rounds_per_second": 173.94, **execution}}
    )


def on_cifar(seeds: int, names: Sequence[str] = ("dense", "topk", "regtopk")) -> Result:
    """Return runs of these algorithms, which are the same ones at the smaller density."""
    runs = []
    for seed in range(seeds):
        for number, name in enumerate(names):
            for density in (1.0,) if name == "dense" else (0.001, 0.0001):
                rank = number if density > 0.0001 else 1
                end = 0.7136 + 0.0312 * rank + 0.0071 * (seed * (rank + 2) % 7)
                runs.append(
                    on_images(name, seed, accuracies=[math.nan, end - 0.1, end], density=density)
                )
    return result(runs, "cifar", **CIFAR)


def with_failures_on_images() -> Result:
    """Return runs on images that diverged, failed, were stopped, or ended with no number."""
    runs = [
        *(on_images("dense", seed, accuracies=[math.nan, 0.5, 0.7 + seed / 8]) for seed in (0, 1)),
        on_images("topk", 0, accuracies=[math.nan, 0.5, 0.75]),
        on_images("topk", 1, accuracies=[math.nan, 0.5], status="diverged"),
        *(on_images("regtopk", seed, status="failed") for seed in (0, 1)),
        *(on_images("randomk", seed, accuracies=[0.5, 0.7, math.nan]) for seed in (0, 1)),
        on_images("oracle", 0, accuracies=[math.nan], status="stopped"),
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


def on_kernels(repeats: int = 7) -> Result:
    """Return timed kernels whose medians, rounded to fewer digits, would leave their quartiles."""
    seconds = [1.2449e-3, 1.2441e-3, 1.2446e-3, 1.26e-3, 1.2447e-3, 1.2443e-3, 1.2455e-3]
    limit = [4.61e-4, 4.63e-4, 4.62e-4, 4.60e-4, 4.59e-4, 4.61e-4, 4.66e-4]
    topk = [7.051e-3, 7.2e-3, 7.1e-3, 6.9e-3, 7.3e-3, 7.05e-3, 7.0e-3]
    runs = [
        timed(
            operation,
            implementation,
            case,
            seconds=seconds[:repeats],
            limit=limit[:repeats],
            topk=topk[:repeats],
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


def of_two_recipes() -> list[Table]:
    """Return what runs with two learning rates say together, and one that diverged."""
    fast = RECIPE | {"learning_rate": 0.2}
    runs = [
        run(name, seed, gaps=descent(-9.1 - 0.4 * seed * number, 3), recipe=recipe)
        for recipe in (RECIPE, fast)
        for number, name in enumerate(("topk", LONG), 1)
        for seed in range(3)
    ]
    return list(compare([*runs, run("dense", status="diverged")]).tables)


def of_two_results() -> list[Table]:
    """Return two results side by side, of which each has what the other has not."""
    first, second = on_linreg(3), on_linreg(4, ("topk", "regtopk", LONG))
    sides = [list(map(measured, each.runs)) for each in (first, second)]
    return [side_by_side("A: runs/before, B: runs/after", *sides)]


def of_changes() -> list[Table]:
    """Return what changed from one result to another, which is little."""
    first = on_linreg(3).runs
    second = [*first[:-1], run("oracle", 2, density=0.605, gaps=descent(-39.1, 100))]
    sides = [list(map(measured, each)) for each in (first, second)]
    return [side_by_side("What changed from A to B", *sides, everything=False)]


def of_saved_runs() -> list[Table]:
    """Return what `runs` lists, of which one cannot be read."""
    parent = Path("results/of_this_week")
    day = {"created": "2026-11-22T12:00:00+00:00", "date": "2026-11-22"}
    first, second, third = (
        parent / name for name in ("2026-11-22_14-33-13_kernels_1", "mine", "cut")
    )
    runs = [
        SavedRun(folder=first, command="kernels", cells=54, status="running", size=0, **day),
        SavedRun(
            folder=second, command="linreg", cells=9, status="2 diverged", size=123456789, **day
        ),
        SavedRun(
            folder=third,
            status="damaged",
            size=87,
            error=f"result {third}/result.json is damaged or truncated at character 87",
        ),
    ]
    return [runs_table(parent, runs)]


def of_cache() -> list[Table]:
    """Return what the cache has."""
    folder = Path("/home/somebody/.cache/regtopk-bench")
    parts = [
        CachePart("fetched", folder / "cifar10", 1, 170_498_071),
        CachePart("unpacked", folder / "unpacked", 0, 0),
        CachePart("answers of doctor", folder, 2, 4321),
    ]
    return [cache_table(folder, parts, ["with --clear, images are removed"])]


def on_a_network(made: Callable[[], Result]) -> Callable[[], Result]:
    """Return runs with what they would take on a network."""

    def projected() -> Result:
        shown = made()
        setting = Setting(value="10gbit:50us", source="flag")
        spent = {"gradient_seconds": 0.5, "sparsify_seconds": 0.25, "update_seconds": 0.125}
        runs = [
            each.model_copy(
                update={
                    "execution": each.execution | spent,
                    "summed_bytes": 16 if each.cell.algorithm in ("dense", "oracle") else None,
                }
            )
            for each in shown.runs
        ]
        settings = {**shown.settings, "network": setting}
        return shown.model_copy(update={"runs": runs, "settings": settings})

    return projected


def of_costs() -> list[Table]:
    """Return costs of sparsifiers that pay, that hardly do, and that do not."""
    entries = [
        entry({"algorithm": name, "density": density}, size=density * 1e8, sparsify_seconds=spent)
        for density in (0.01, 0.3)
        for name, spent in (("topk", 0.0123), (LONG, 0.45), ("randomk", 9.0))
    ]
    return cost_tables(costs(*entries))


def of_costs_to_a_target() -> list[Table]:
    """Return costs with the rounds of a saved result, which some have not."""
    entries = [
        entry(rounds=1234.5),
        entry(OTHER, in_result=True),
        entry(OTHER | {"mu": 8.0}),
        entry({"algorithm": "randomk", "density": 0.01}, summed_bytes=5e5, rounds=23456.0),
    ]
    told = Rounds(result="runs/2026-11-22_14-33-13_cifar", target="70 %", workers=4)
    known = {"network": "8x400gbit:5us,25gbit:20us", "reference": 1000.0, "rounds": told}
    return cost_tables(costs(*entries, **known))


def of_settings() -> list[Table]:
    """Return the settings of a command."""
    settings = LinregSettings(learning_rate=0.0123)
    sources = dict.fromkeys(declarations(LinregSettings), "built-in")
    sources["learning_rate"] = "environment"
    return [settings_table("linreg", Resolved(settings, sources))]


def _of(made: Callable[[], Result], *, unicode: bool = True) -> Callable[[], list[Table]]:
    return lambda: tables(made(), unicode)


PAGES: Mapping[str, Callable[[], list[Table]]] = {
    "linreg": _of(lambda: on_linreg(1)),
    "linreg-seeds": _of(lambda: on_linreg(3)),
    "linreg-1000-seeds": _of(lambda: on_linreg(1000, ("topk", "regtopk"), rounds=3)),
    "linreg-long-names": _of(lambda: on_linreg(3, ("topk", LONG, f"{LONG}2"))),
    "linreg-failures": _of(with_failures),
    "linreg-failures-seeds": _of(with_failures_on_some_seeds),
    "linreg-ascii": _of(lambda: on_linreg(3), unicode=False),
    "cifar": _of(lambda: on_cifar(1)),
    "cifar-seeds": _of(lambda: on_cifar(3)),
    "cifar-1000-seeds": _of(lambda: on_cifar(1000, ("topk", "regtopk"))),
    "cifar-long-names": _of(lambda: on_cifar(3, ("topk", LONG, f"{LONG}2"))),
    "cifar-failures": _of(with_failures_on_images),
    "cifar-ascii": _of(lambda: on_cifar(3), unicode=False),
    "linreg-network": _of(on_a_network(lambda: on_linreg(3))),
    "cifar-network": _of(on_a_network(lambda: on_cifar(3))),
    "toy": _of(on_toy),
    "toy-long-names": _of(lambda: on_toy(("topk", LONG, f"{LONG}2"))),
    "kernels": _of(on_kernels),
    "kernels-few": _of(lambda: on_kernels(3)),
    "kernels-ascii": _of(on_kernels, unicode=False),
    "cost": of_costs,
    "cost-target": of_costs_to_a_target,
    "compared": lambda: list(compare(on_linreg(3)).tables),
    "compared-recipes": of_two_recipes,
    "side-by-side": of_two_results,
    "side-by-side-changes": of_changes,
    "check": _of(of_check),
    "baseline": of_baseline,
    "doctor": of_doctor,
    "dry-run": of_dry_run,
    "runs": of_saved_runs,
    "cache": of_cache,
    "config": of_settings,
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
