"""`regtopk-bench baseline`: make the file that checks compare with, accept changes, show it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from regtopk_bench.cli.invocation import Invocation, console
from regtopk_bench.cli.progress import Counted, announce
from regtopk_bench.cli.suite import again, bench_of, expected_seconds, how_many, tell
from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.gate import pairs
from regtopk_bench.gate.bench import Bench, Ended
from regtopk_bench.gate.pairs import CONTROL
from regtopk_bench.gate.suite import Suite
from regtopk_bench.report.baseline import baseline_tables, changes, changes_table
from regtopk_bench.report.table import print_report
from regtopk_bench.results import Scalar, baseline
from regtopk_bench.results.baseline import (
    Acceptance,
    Baseline,
    BaselineCell,
    baseline_cell,
    differing,
    differing_in_time,
)
from regtopk_bench.results.judging import Outcomes, verdicts
from regtopk_bench.results.verdict import Verdict
from regtopk_bench.settings import BaselineSettings

_FIRST_REASON = "first baseline"
_FLAGS = ("baseline", "select", "cell_timeout", "time", "processes")
_ADVICE = "Ctrl-C leaves the baseline as it is"


def create_baseline(invocation: Invocation) -> None:
    """Run the suite and write a new baseline file."""
    settings: BaselineSettings = invocation.resolved.settings
    file = Path(settings.baseline)
    if file.exists():
        raise ConfigurationError(
            f"there is a baseline {file} already: change it with "
            f'`{again(invocation, "baseline accept", *_FLAGS)} --reason "…"`'
        )
    _write(invocation, None, settings.reason or _FIRST_REASON)


def accept_baseline(invocation: Invocation) -> None:
    """Run the suite, print what has changed, and make it the baseline."""
    settings: BaselineSettings = invocation.resolved.settings
    if not settings.reason:
        raise ConfigurationError('--reason "…" is missing: say why the baseline changes')
    made_by = again(invocation, "baseline create", *_FLAGS)
    _write(invocation, baseline.read(Path(settings.baseline), made_by=made_by), settings.reason)


def show_baseline(file: Path, output_format: str) -> None:
    """Print a baseline: its history, and every number with its tolerance."""
    found = baseline.read(file)
    print_report(
        console(),
        output_format,
        name="baseline",
        tables=lambda: baseline_tables(str(file), found),
        document=lambda: baseline.dump(found),
    )


def _write(invocation: Invocation, before: Baseline | None, reason: str) -> None:
    settings: BaselineSettings = invocation.resolved.settings
    with bench_of(invocation) as bench:
        suite = bench.suite
        keys = suite.matching(settings.select, "--select")
        moved = differing(before.environment, suite.environment) if before else None
        if moved and settings.select:
            raise ConfigurationError(
                f"--select: the other cells were run on another machine or with other versions "
                f"({moved}): accept the whole suite"
            )
        wanted = [key for key in keys if key not in suite.skipped]
        known = {key: each.seconds for key, each in before.cells.items()} if before else {}
        seconds = sum(expected_seconds(suite, wanted, known, nudged=True).values())
        announce(invocation, how_many(wanted), seconds, _ADVICE)
        ended = _run(invocation, bench, wanted)
        bench.close()
        ratios = _times(invocation, bench, list(ended)) if settings.time else {}
    old = _comparable_in_time(before, suite) if before else {}
    cells: dict[str, BaselineCell] = {}
    if settings.select:  # the others stay as they are
        cells |= old
    elif not moved:
        cells |= {key: each for key, each in old.items() if key in suite.skipped}
    kept = [key for key in cells if key not in ended]
    for key, each in ended.items():
        assert each.run is not None
        stored = old[key].log_ratios if key in old and not settings.time else []
        cells[key] = baseline_cell(
            suite.names[key],
            each.run,
            nudged=each.nudged,
            seconds=each.seconds,
            log_ratios=ratios.get(key, stored),
        )
    made = Baseline(
        profile=suite.profile,
        history=[
            *(before.history if before else []),
            Acceptance(
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                reason=reason,
                commit=_text(suite.environment.get("git_commit")),
            ),
        ],
        environment=dict(suite.environment),
        cells={key: cells[key] for key in [*suite.cells, *cells] if key in cells},
        frozen=suite.frozen,
    )
    if before is not None:
        outcomes = Outcomes(
            names={key: suite.names[key] for key in ended},
            cells=suite.cells,
            runs={key: each.run for key, each in ended.items() if each.run},
            environment=suite.environment,
        )
        others = {key: each for key, each in before.cells.items() if key not in kept}
        changed = before.model_copy(update={"cells": others})
        found = verdicts(changed, outcomes)
        print_report(
            invocation.out,
            settings.format,
            name="changes",
            tables=lambda: [changes_table(found)],
            document=lambda: _json(changes(found)),
        )
    baseline.write(made, Path(settings.baseline))
    invocation.note(f"wrote {settings.baseline}: {len(cells)} cells")


def _comparable_in_time(before: Baseline, suite: Suite) -> dict[str, BaselineCell]:
    """Return the cells of a baseline, without times that would be of another machine now."""
    moved = differing_in_time(before.environment, suite.environment)
    if not moved and before.frozen == suite.frozen:
        return before.cells
    return {key: each.model_copy(update={"log_ratios": []}) for key, each in before.cells.items()}


def _run(invocation: Invocation, bench: Bench, keys: list[str]) -> dict[str, Ended]:
    """Run cells, with nudges.

    Raises:
        RunError: If one failed or diverged: a baseline has finished cells only.
    """
    found = {}
    with Counted(invocation, len(keys), "cells") as progress:
        for number, key in enumerate(keys):
            name = bench.suite.names[key]
            progress.begin(name)
            bench.begin(key, nudge=True)
            ended = bench.end()
            if ended.failure:
                raise RunError(f"{name}: {ended.failure[1]}")
            assert ended.run is not None
            if ended.run.status != "finished":
                raise RunError(f"{name} {ended.run.status}: {ended.run.error}")
            tell(invocation, name, ended)
            found[key] = ended
            progress.update(number + 1)
    return found


def _times(invocation: Invocation, bench: Bench, keys: list[str]) -> dict[str, list[float]]:
    """Return log ratios of times over those of the frozen step, one for each process."""
    settings: BaselineSettings = invocation.resolved.settings
    timed = bench.suite.timed(settings.time, keys)
    found: dict[str, list[float]] = {key: [] for key in timed}
    with Counted(invocation, settings.processes, "processes") as progress:
        progress.estimate(f"{settings.processes} processes that time cells", _ADVICE)
        progress.begin("timing")
        progress.update(0)
        for number in range(settings.processes):
            ratios = pairs.against_frozen(bench.suite, timed, timeout=settings.cell_timeout)
            for key, logarithm in ratios.items():
                if key != CONTROL:
                    found[key].append(logarithm)
            progress.update(number + 1)
    return found


def _json(found: list[Verdict]) -> str:
    return json.dumps([each.model_dump(mode="json") for each in found], indent=1)


def _text(fact: Scalar) -> str | None:
    return None if fact is None else str(fact)
