"""What commands of the gate share: the suite, its cells' progress, and their list."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.gate import suite as suites
from regtopk_bench.gate.bench import NUDGED, Bench, Ended
from regtopk_bench.gate.suite import Suite
from regtopk_bench.gate.tree import Tree, head
from regtopk_bench.report.cells import PlannedCell, cells_json, cells_table
from regtopk_bench.report.table import print_report
from regtopk_bench.results import TrainingCell
from regtopk_bench.settings import as_text, flag_name

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


def again(invocation: Invocation, command: str, *flags: str) -> str:
    """Return another command on the suite of a call, to be given in a shell.

    Args:
        invocation: The call.
        command: The command, as "baseline accept".
        flags: Settings that are handed on if they were given as flags.
    """
    resolved, words = invocation.resolved, ["regtopk-bench", *command.split()]
    if invocation.profile not in (None, PROFILE):
        words += ["--profile", str(invocation.profile)]
    if invocation.config:
        words += ["--config", invocation.config]
    for name in flags:
        if resolved.sources[name] == "flag":
            value = getattr(resolved.settings, name)
            for each in value if isinstance(value, tuple) else (value,):
                words += [flag_name(name), as_text(each)]
    return shlex.join(words)


def how_many(keys: Sequence[str]) -> str:
    """Return how many cells there are, in words."""
    return f"{len(keys)} cell{'' if len(keys) == 1 else 's'}"


def expected_seconds(
    suite: Suite, keys: Iterable[str], known: Mapping[str, float], *, nudged: bool = False
) -> dict[str, float]:
    """Return about how long cells take, by key.

    Args:
        suite: The suite.
        keys: Of its cells.
        known: Seconds that a run of some of them took before.
        nudged: Whether those that train are run with nudged initial parameters too.
    """
    return {
        key: (known.get(key) or suite.estimates[key])
        * (NUDGED if nudged and isinstance(suite.cells[key], TrainingCell) else 1)
        for key in keys
    }


def print_cells(
    invocation: Invocation, suite: Suite, keys: Sequence[str], known: Mapping[str, float]
) -> None:
    """Print cells with about how long they take.

    Args:
        invocation: The call.
        suite: The suite.
        keys: Of its cells.
        known: Seconds that a run of some of them took before.
    """
    seconds = expected_seconds(suite, keys, known)
    cells = [
        PlannedCell(
            key=key,
            name=suite.names[key],
            seconds=seconds[key],
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
