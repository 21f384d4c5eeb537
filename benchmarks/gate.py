"""The gate on code that has not changed, and on code that is slower: how often is it right?

Run `python benchmarks/gate.py --runs 40` with nothing else on the machine, then
`python benchmarks/gate.py --runs 40 --burner`, on the same code only. Runs are appended to a file,
so that what was stopped goes on, and `--runs 0` only prints the table.

A run is what `regtopk-bench check --profile gate --against COPY` does with a copy of the package,
so that nothing differs: its cells are compared, then timed in pairs of fresh processes until every
verdict is clear. In the same pairs one cell, another one in each run, is timed again while it
really takes 1.2 and 1.5 times as long; these times are taken through the gate apart, as if they
were the head's. Beside them, the rules of other gates judge the times of all pairs that the run
has. There are 8 to 24 of them: more than that is beyond the time that `check` takes by default.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rivals import by_mann_whitney, by_threshold
from scipy.stats import binomtest

import regtopk_bench
from regtopk_bench import machine
from regtopk_bench.gate import pairs, tree
from regtopk_bench.gate.bench import Bench
from regtopk_bench.gate.check import Check
from regtopk_bench.gate.suite import Suite, request
from regtopk_bench.results.equivalence import Plan
from regtopk_bench.results.procedure import CONTROL, Procedure
from regtopk_bench.settings import CheckSettings, load, resolve

ROOT = Path(__file__).parents[1]
PROFILE = "gate"
SLOWDOWNS = (1.2, 1.5)
LEAST_PAIRS, MOST_PAIRS = 8, 24
BURNER = """
import random, time
while True:
    until = time.monotonic() + random.uniform(0, 5)
    while time.monotonic() < until:
        pass
    time.sleep(random.uniform(0, 5))
"""


def main() -> None:
    options = _options()
    errors = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(Path(regtopk_bench.__file__).parent, copy / "regtopk_bench")
        for number in range(options.runs):
            with _burning() if options.burner else contextlib.nullcontext():
                record = _run(copy, number, () if options.burner else SLOWDOWNS)
            record["burner"] = options.burner
            with options.file.open("a") as file:
                file.write(json.dumps(record) + "\n")
            errors.print(f"run {number + 1} of {options.runs}: {_said(record)}", highlight=False)
    lines = options.file.read_text().splitlines() if options.file.exists() else []
    Console().print(_table([json.loads(line) for line in lines]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--burner", action="store_true", help="with a load that comes and goes")
    parser.add_argument("--file", type=Path, default=Path("gate-runs.jsonl"))
    return parser.parse_args()


@contextlib.contextmanager
def _burning() -> Iterator[None]:
    """Keep every processor busy for up to five seconds, then idle for as long, and so on."""
    burners = [subprocess.Popen([sys.executable, "-c", BURNER]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def _run(copy: Path, number: int, slowdowns: Sequence[float]) -> dict[str, Any]:
    """Return what a run of the gate gave: counts of verdicts, and the times of its pairs."""
    began = time.monotonic()
    file = load(ROOT / "benchmarks.toml")
    settings: CheckSettings = resolve("check", {}, {}, file, PROFILE).settings
    profile = file.profile(PROFILE)
    sides = [tree.head(), tree.base(copy)]
    asked = [request(file, profile, PROFILE, tolerant=tolerant) for tolerant in (False, True)]
    with contextlib.ExitStack() as stack:
        head, base = (
            stack.enter_context(Bench(side, PROFILE, each, settings.cell_timeout))
            for side, each in zip(sides, asked, strict=True)
        )
        check = Check(head.suite, list(head.suite.cells), settings, base.suite)
        for _ in check.cells(head, base):
            pass
    verdicts = [each.verdict for each in check.verdicts()]
    rows = head.suite.timed(settings.time, head.suite.cells)
    slowed = rows[number % len(rows)]
    taken, outcomes = _timed(head.suite, base.suite, rows, slowed, slowdowns, settings)
    return {
        "metrics": {kind: verdicts.count(kind) for kind in sorted(set(verdicts))},
        "slowed": slowed,
        "names": {key: head.suite.names[key] for key in rows},
        "outcomes": outcomes,
        "pairs": taken,
        "load": os.getloadavg()[0],
        "processor": machine.processor(),
        "seconds": time.monotonic() - began,
    }


def _timed(
    head: Suite,
    base: Suite,
    rows: Sequence[str],
    slowed: str,
    slowdowns: Sequence[float],
    settings: CheckSettings,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Take pairs until the gate has all its verdicts, on each slowdown."""
    plan = Plan(margin=settings.margin)
    gates = {factor: Procedure(rows, plan) for factor in (1.0, *slowdowns)}
    taken: list[dict[str, Any]] = []
    used = dict.fromkeys(gates, 0)
    while len(taken) < MOST_PAIRS:
        if len(taken) >= LEAST_PAIRS and all(gate.done for gate in gates.values()):
            break
        few = len(taken) < LEAST_PAIRS
        wanted = {1.0: [row for row in rows if few or any(row in g.wanted for g in gates.values())]}
        for factor in slowdowns:
            if few or slowed in gates[factor].wanted:
                wanted[factor] = [slowed]
        seen = pairs.times(
            head, base, wanted, timeout=settings.cell_timeout, swapped=bool(len(taken) % 2)
        )
        taken.append({"head": {str(f): dict(v) for f, v in seen.head.items()}, "base": seen.base})
        for factor, gate in gates.items():
            if not gate.done:
                slower = seen.log_ratios(factor) if factor in wanted else {}
                gate.add(seen.log_ratios() | slower)
                used[factor] += 1
    return taken, {
        str(factor): {
            "pairs": used[factor],
            "verdicts": {row: [e.verdict, e.reason] for row, e in gate.outcomes().items()},
        }
        for factor, gate in gates.items()
    }


def _said(record: Mapping[str, Any]) -> str:
    ends = {
        factor: f"{_end(record, factor)} after {each['pairs']}"
        for factor, each in record["outcomes"].items()
    }
    return f"{record['seconds']:.0f} s, metrics {record['metrics']}, times {ends}"


def _end(record: Mapping[str, Any], factor: str) -> str:
    """Return how the gate ends: as its worst row, or as the one that was slowed down."""
    found = record["outcomes"][factor]["verdicts"]
    kinds = {found[row][0] for row in _rows(record, factor)}
    return "FAIL" if "FAIL" in kinds else "PASS" if kinds == {"PASS"} else "INCONCLUSIVE"


def _rows(record: Mapping[str, Any], factor: str) -> Sequence[str]:
    """Return the rows that count: those of the same code, or the one that was slowed down."""
    return list(record["names"]) if factor == "1.0" else [record["slowed"]]


def _rival(record: Mapping[str, Any], factor: str, rule: Any) -> bool:
    """Tell whether a rule finds any row slower."""
    for row in _rows(record, factor):
        both = [
            (pair["head"][factor][row], pair["base"][row])
            for pair in record["pairs"]
            if row in pair["head"].get(factor, {})
        ]
        if rule(*np.exp(np.array(both)).T) == "slower":
            return True
    return False


def _table(records: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Gate runs that find something slower, with 95 % intervals")
    for heading in (
        "", "runs", "this gate: FAIL", "PASS", "inconclusive", "median > 10 %",
        "Mann-Whitney p < .002 and > 10 %", "pairs", "noise of a pair", "metrics that differ",
    ):  # fmt: skip
        table.add_column(heading, justify="right" if heading else "left")
    for factor in map(str, (1.0, *SLOWDOWNS)):
        for burner in (False, True):
            of = [
                each for each in records if each["burner"] == burner and factor in each["outcomes"]
            ]
            if not of:
                continue
            ends = [_end(each, factor) for each in of]
            differ = sum(each["metrics"].get("FAIL", 0) for each in of)
            table.add_row(
                ("same code" if factor == "1.0" else f"{factor}× slower")
                + (", burner" if burner else ""),
                str(len(of)),
                _share(ends.count("FAIL"), len(of)),
                str(ends.count("PASS")),
                str(ends.count("INCONCLUSIVE")),
                _share(sum(_rival(each, factor, by_threshold) for each in of), len(of)),
                _share(sum(_rival(each, factor, by_mann_whitney) for each in of), len(of)),
                f"{statistics.median(each['outcomes'][factor]['pairs'] for each in of):g}",
                f"{100 * statistics.median(map(_noise, of)):.1f} %",
                str(differ) if factor == "1.0" else "",
            )
    return table


def _share(count: int, runs: int) -> str:
    interval = binomtest(count, runs).proportion_ci()
    return f"{count} ({100 * interval.low:.0f} to {100 * interval.high:.0f} %)"


def _noise(record: Mapping[str, Any]) -> float:
    """Return the standard deviation of log(head / base) between pairs, the largest of all rows."""
    found = []
    for row in [*record["names"], CONTROL]:
        ratios = [
            pair["head"]["1.0"][row] - pair["base"][row]
            for pair in record["pairs"]
            if row in pair["head"]["1.0"]
        ]
        found.append(statistics.stdev(ratios))
    return max(found)


if __name__ == "__main__":
    main()
