"""`regtopk-bench compare`: two saved results, or a baseline and a result, without running."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from regtopk_bench.cli.invocation import console
from regtopk_bench.cli.stored import damage_told, located, stored
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.report.listing import print_listing
from regtopk_bench.report.reports import print_result
from regtopk_bench.report.side_by_side import side_by_side
from regtopk_bench.results import CHECK, Result, Run, Scalar, baseline
from regtopk_bench.results.baseline import Acceptance, Baseline, baseline_cell, differing
from regtopk_bench.results.judging import Outcomes, exit_code, notes, verdicts
from regtopk_bench.results.names import names
from regtopk_bench.results.pairing import measured
from regtopk_bench.results.schema import Setting


def compare_results(
    before: Path,
    after: Path,
    output_format: str,
    *,
    allow_new: bool,
    allow_missing: bool,
) -> None:
    """Print verdicts on the second result against the first, and exit with the code they give.

    Below them are, but for JSON, the values that have changed, with intervals over the seeds.
    """
    before, after = located(before), located(after)
    accepted = baseline.read(before) if baseline.is_one(before) else _as_baseline(before)
    with damage_told(after):
        runs = {run.cell.key: run for run in _finished(stored(after), after)}
    outcomes = Outcomes(
        names=names(run.cell for run in runs.values()),
        cells={key: run.cell for key, run in runs.items()},
        runs=runs,
        environment=_environment(list(runs.values())),
    )
    found = verdicts(accepted, outcomes)
    settings = {"allow_new": allow_new, "allow_missing": allow_missing}
    result = Result(
        command=CHECK,
        created=_now(),
        settings={name: Setting(value=value, source="flag") for name, value in settings.items()},
        runs=list(runs.values()),
        verdicts=found,
        notes=notes(accepted, outcomes),
    )
    print_result(result, output_format, console())
    if output_format not in ("json", "csv"):  # which are one document
        with damage_told(after):
            _print_changes(accepted, list(runs.values()), output_format)
    code = exit_code(found, allow_new=allow_new, allow_missing=allow_missing)
    if code:
        raise typer.Exit(code)


def _print_changes(accepted: Baseline, runs: Sequence[Run], output_format: str) -> None:
    """Print the values that a baseline holds, where they have changed."""
    before = [measured(cell) for cell in accepted.cells.values()]
    after = [measured(baseline_cell("", run)) for run in runs]
    changes = side_by_side("What changed from A to B", before, after, everything=False)
    if changes.rows:
        out = console()
        out.file.write("\n")
        print_listing(changes, output_format, out)


def _as_baseline(path: Path) -> Baseline:
    """Return a result as the baseline that it would have made, but for its tolerances."""
    with damage_told(path):
        result = stored(path)
        runs = _finished(result, path)
        named = names(run.cell for run in runs)
        return Baseline(
            profile=result.command,
            history=[Acceptance(date=result.created, reason=str(path))],
            environment=_environment(runs),
            cells={run.cell.key: baseline_cell(named[run.cell.key], run) for run in runs},
        )


def _finished(result: Result, path: Path) -> list[Run]:
    runs = [run for run in result.runs if run.status in ("finished", "diverged")]
    if not runs:
        raise ConfigurationError(f"{path} has no run that has ended: there is nothing to compare")
    return runs


def _environment(runs: Sequence[Run]) -> dict[str, Scalar]:
    """Return where runs were computed; nothing, which agrees with nothing, if in several places."""
    places = [place for run in runs for place in run.environments]
    alike = places and all(differing(places[0], place) is None for place in places)
    return dict(places[0]) if alike else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
