"""`regtopk-bench baseline`: make the file that checks compare with, accept changes, show it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from regtopk_bench.cli.invocation import Invocation, console
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.suite import bench_of, tell
from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.gate import pairs
from regtopk_bench.gate.bench import Bench, Ended
from regtopk_bench.gate.pairs import CONTROL
from regtopk_bench.report.table import Column, Entry, Row, Table, print_tables
from regtopk_bench.results import Scalar, baseline
from regtopk_bench.results.baseline import Acceptance, Baseline, BaselineCell, baseline_cell
from regtopk_bench.results.judging import Outcomes, verdicts
from regtopk_bench.results.verdict import Verdict
from regtopk_bench.settings import BaselineSettings

_FIRST_REASON = "first baseline"


def create_baseline(invocation: Invocation) -> None:
    """Run the suite and write a new baseline file."""
    settings: BaselineSettings = invocation.resolved.settings
    file = Path(settings.baseline)
    if file.exists():
        raise ConfigurationError(
            f"there is a baseline {file} already: change it with `regtopk-bench baseline accept "
            '--reason "…"`'
        )
    _write(invocation, None, settings.reason or _FIRST_REASON)


def accept_baseline(invocation: Invocation) -> None:
    """Run the suite, print what has changed, and make it the baseline."""
    settings: BaselineSettings = invocation.resolved.settings
    if not settings.reason:
        raise ConfigurationError('--reason "…" is missing: say why the baseline changes')
    _write(invocation, baseline.read(Path(settings.baseline)), settings.reason)


def show_baseline(file: Path, output_format: str) -> None:
    """Print a baseline: its history, and every number with its tolerance."""
    found = baseline.read(file)
    print_tables([_history(file, found), _numbers(found)], output_format, console())


def _write(invocation: Invocation, before: Baseline | None, reason: str) -> None:
    settings: BaselineSettings = invocation.resolved.settings
    with bench_of(invocation) as bench:
        suite = bench.suite
        keys = suite.matching(settings.select, "--select")
        ended = _run(invocation, bench, [key for key in keys if key not in suite.skipped])
        bench.close()
        ratios = _times(invocation, bench, list(ended)) if settings.time else {}
    cells: dict[str, BaselineCell] = {}
    if before is not None and settings.select:  # the others stay as they are
        cells |= before.cells
    for key, each in ended.items():
        assert each.run is not None
        old = before.cells.get(key) if before else None
        cells[key] = baseline_cell(
            suite.names[key],
            each.run,
            nudged=each.nudged,
            seconds=each.seconds,
            log_ratios=ratios.get(key, old.log_ratios if old and not settings.time else []),
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
        _print_changes(invocation, verdicts(before, outcomes, whole=not settings.select))
    baseline.write(made, Path(settings.baseline))
    invocation.note(f"wrote {settings.baseline}: {len(cells)} cells")


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
        progress.begin("timing")
        for number in range(settings.processes):
            ratios = pairs.against_frozen(bench.suite, timed, timeout=settings.cell_timeout)
            for key, logarithm in ratios.items():
                if key != CONTROL:
                    found[key].append(logarithm)
            progress.update(number + 1)
    return found


def _print_changes(invocation: Invocation, found: list[Verdict]) -> None:
    changed = [each for each in found if each.verdict != "PASS"]
    columns = [
        Column("cell", "cell", left=True, compact=False),
        Column("metric", "metric", left=True),
        Column("was", "before"),
        Column("is", "value"),
        Column("", "sentence", left=True, compact=False, hidden=True),
    ]
    rows = [
        Row(
            [
                Entry(each.name),
                Entry(each.metric),
                _number(each.baseline),
                _number(each.value),
                Entry(each.sentence),
            ]
        )
        for each in changed
    ]
    title = f"What changes: {len(changed)} of {len(found)}"
    table = Table(title, columns, rows)
    print_tables([table], invocation.resolved.settings.format, invocation.out)


def _history(file: Path, found: Baseline) -> Table:
    where = found.environment
    title = (
        f"{file}: profile {found.profile}, {len(found.cells)} cells, {where.get('cpu')} "
        f"({where.get('instructions')}), PyTorch {where.get('torch')}"
    )
    columns = [
        Column("date", "date", left=True),
        Column("reason", "reason", left=True, compact=False),
        Column("commit", "commit", left=True),
    ]
    rows = [
        Row([Entry(each.date), Entry(each.reason), Entry((each.commit or "")[:12])])
        for each in found.history
    ]
    return Table(title, columns, rows)


def _numbers(found: Baseline) -> Table:
    columns = [
        Column("cell", "cell", left=True, compact=False),
        Column("metric", "metric", left=True),
        Column("value", "value"),
        Column("± elsewhere", "tolerance"),
    ]
    rows = []
    for cell in found.cells.values():
        own = [
            Row([Entry(cell.name), Entry(name), _number(each.value), _number(each.tolerance, 2)])
            for name, each in cell.metrics.items()
        ]
        own += [
            Row([Entry(cell.name), Entry(name), Entry(value), Entry("–", "")])
            for name, value in cell.digests.items()
        ]
        rows += own
    notes = ["elsewhere: on another machine or with other versions; here numbers must be equal"]
    return Table("Numbers", columns, rows, notes)


def _number(value: float | None, digits: int = 9) -> Entry:
    return Entry("–", "") if value is None else Entry(f"{value:.{digits}g}", value)


def _text(fact: Scalar) -> str | None:
    return None if fact is None else str(fact)
