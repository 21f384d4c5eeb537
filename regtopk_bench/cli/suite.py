"""What commands of the gate share: the suite, its cells' progress, and their list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.gate import suite as suites
from regtopk_bench.gate.bench import Bench, Ended
from regtopk_bench.gate.suite import Suite
from regtopk_bench.gate.tree import Tree, head
from regtopk_bench.report.cells import PlannedCell, cells_json, cells_table
from regtopk_bench.report.table import print_report

PROFILE = "ci"
"""The profile that is the suite if none is chosen."""


def bench_of(invocation: Invocation, tree: Tree | None = None) -> Bench:
    """Return a bench for the suite of the chosen profile, whose process is starting.

    Args:
        invocation: The call.
        tree: Where the code comes from, if not from here; it may lack algorithms.
    """
    file, profile = invocation.file, invocation.profile or PROFILE
    request = suites.request(file, file.profile(profile), profile, tolerant=tree is not None)
    timeout = invocation.resolved.settings.cell_timeout
    return Bench(tree or head(), profile, request, timeout)


def tell(invocation: Invocation, name: str, ended: Ended) -> None:
    """Say how a cell ended, if the call is verbose or it failed."""
    if ended.failure:
        invocation.note(f"{name}: {ended.failure[1]}")
    elif invocation.verbose and ended.run is not None:
        invocation.note(f"{name}: {ended.run.status}, {ended.seconds:.2f} s")


def print_cells(
    invocation: Invocation, suite: Suite, keys: Sequence[str], known: Mapping[str, float]
) -> None:
    """Print cells with about how long they take.

    Args:
        invocation: The call.
        suite: The suite.
        keys: Of its cells.
        known: Seconds that cells took before, by key.
    """
    cells = [
        PlannedCell(
            key=key,
            name=suite.names[key],
            seconds=known.get(key) or suite.estimates[key],
            skipped=suite.skipped.get(key),
        )
        for key in keys
    ]
    print_report(
        invocation.out,
        invocation.resolved.settings.format,
        name="cells",
        tables=lambda: [cells_table(suite.profile, cells)],
        document=lambda: cells_json(cells),
    )
