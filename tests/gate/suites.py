"""Suites as a process would describe them, made of the cells of runs."""

from __future__ import annotations

from pathlib import Path

from regtopk_bench.gate.suite import Suite
from regtopk_bench.gate.tree import Tree
from regtopk_bench.results import Run
from regtopk_bench.results.names import names

ENVIRONMENT = {"processor": "a", "torch": "2.15", "cpu_count": 2}


def suite_of(*runs: Run, tree: Tree | None = None, files: tuple[str, ...] = ("/head.py",)) -> Suite:
    """Return the suite that has these cells."""
    cells = {each.cell.key: each.cell for each in runs}
    return Suite(
        profile="ci",
        tree=tree or Tree("head"),
        request={},
        cells=cells,
        names=names(cells.values()),
        estimates=dict.fromkeys(cells, 1.0),
        skipped={},
        claims=[],
        environment=ENVIRONMENT,
        files=frozenset(files),
        unknown=[],
        frozen=1,
    )


def base_of(*runs: Run, files: tuple[str, ...] = ("/base.py",)) -> Suite:
    """Return the same in another tree."""
    return suite_of(*runs, tree=Tree("base", folder=Path("/base")), files=files)
