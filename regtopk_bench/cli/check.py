"""`regtopk-bench check`: is the code as good as its baseline, and as fast as another checkout?"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import typer

from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.cli.resuming import resume
from regtopk_bench.cli.session import Session
from regtopk_bench.cli.suite import bench_of, print_cells, tell
from regtopk_bench.errors import ConfigurationError, RunError
from regtopk_bench.files import written_atomically
from regtopk_bench.gate.bench import Bench
from regtopk_bench.gate.check import HEAD, Check
from regtopk_bench.gate.tree import base
from regtopk_bench.report import github, junit
from regtopk_bench.results import Result, baseline
from regtopk_bench.results.baseline import Baseline
from regtopk_bench.results.journal import Journal
from regtopk_bench.results.judging import exit_code
from regtopk_bench.results.lines import Pair
from regtopk_bench.settings import CheckSettings

_SUMMARY = "GITHUB_STEP_SUMMARY"


def run_check(invocation: Invocation) -> None:
    """Run the suite, compare, report, and exit with the code that says what was found."""
    invocation, resumed = resume(invocation, "check")
    settings: CheckSettings = invocation.resolved.settings
    accepted = _accepted(invocation)
    tree = base(Path(settings.against)) if settings.against else None
    session = Session(invocation, "check", resumed)
    with contextlib.ExitStack() as stack:
        head = stack.enter_context(bench_of(invocation))
        other = stack.enter_context(bench_of(invocation, tree)) if tree else None
        keys = head.suite.matching(settings.select, "--select")
        if settings.dry_run:
            known = {key: each.seconds for key, each in accepted.cells.items()} if accepted else {}
            print_cells(invocation, head.suite, keys, known)
            return
        check = Check(head.suite, keys, settings, other.suite if other else None, accepted)
        _tell_unknown(invocation, check)
        try:
            session.keep(lambda: _work(session, check, head, other))
        finally:
            _report(session.result, settings, invocation)
    code = exit_code(
        session.verdicts,
        strict=settings.strict,
        allow_new=settings.allow_new,
        allow_missing=settings.allow_missing,
    )
    if code:
        raise typer.Exit(code)


def _accepted(invocation: Invocation) -> Baseline | None:
    """Return the baseline; None where another checkout takes its place."""
    settings: CheckSettings = invocation.resolved.settings
    file = Path(settings.baseline)
    named = invocation.resolved.sources["baseline"] != "built-in"
    if settings.against and not named and not file.exists():
        return None
    return baseline.read(file)


def _tell_unknown(invocation: Invocation, check: Check) -> None:
    for name in dict.fromkeys(check.base.unknown if check.base else ()):
        invocation.note(f"the base does not have {name}: its cells are new")


def _work(session: Session, check: Check, head: Bench, other: Bench | None) -> None:
    """Run and time cells; whatever happens, there are verdicts on what was finished."""
    invocation, journal = session.invocation, session.journal
    session.expect([key for key in check.keys if key not in check.head.skipped])
    before = _take_up(check, journal)
    try:
        with Counted(invocation, len(check.waiting), "cells") as progress:
            done = 0
            for side, key, ended in check.cells(head, other):
                tell(invocation, f"{side} {check.head.names[key]}", ended)
                if ended.run is not None and journal is not None:
                    journal.append(ended.run if side == HEAD else check.base_runs[key])
                if side == HEAD:
                    done += 1
                    progress.begin(check.head.names[key])
                    progress.update(done)
        head.close()  # times are taken by processes that have the machine to themselves
        if other:
            other.close()
        check.times(before, lambda pair: journal.append(Pair(pair=dict(pair))) if journal else None)
    finally:
        session.runs |= check.runs
        session.verdicts, session.notes = check.verdicts(), check.notes


def _take_up(check: Check, journal: Journal | None) -> list[dict[str, float]]:
    """Take what a resumed check has finished; return its pairs.

    Raises:
        ConfigurationError: If it was of another suite.
    """
    if journal is None:
        return []
    unknown = [run for key, run in journal.contents.runs.items() if key not in check.head.cells]
    if unknown:
        raise ConfigurationError(
            "the check to resume had other cells: the profile or the data have changed; start a "
            "new one"
        )
    check.runs |= journal.contents.runs
    check.base_runs |= journal.contents.base
    return journal.contents.pairs


def _report(result: Result, settings: CheckSettings, invocation: Invocation) -> None:
    """Write the reports for other programs, whatever happened."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in github.annotations(result):
            invocation.err.file.write(f"{line}\n")
    try:
        if settings.summary:
            _append_summary(github.summary(result), invocation)
    finally:
        if settings.junit:
            _write_junit(result, Path(settings.junit))


def _write_junit(result: Result, file: Path) -> None:
    try:
        with written_atomically(file) as begun:
            begun.write(junit.junit(result))
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror}") from error


def _append_summary(text: str, invocation: Invocation) -> None:
    name = os.environ.get(_SUMMARY)
    if not name:
        invocation.note(f"--summary: ${_SUMMARY} names no file here, so that none was written")
        return
    try:
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise RunError(f"cannot write to ${_SUMMARY}, {name}: {error.strerror}") from error
