"""`show` where a plot is asked for: it is drawn, or its absence is an error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench.results import Result, store
from regtopk_bench.results.journal import Journal
from tests.cli.test_others import WITHOUT_MATPLOTLIB
from tests.results.samples import check, header, result, verdict
from tests.results.samples import run as sample

Call = Callable[..., Any]

ASKS = [
    (["-o", "figure.pdf"], "--output"),
    (["--plot-format", "svg"], "--plot-format"),
    (["--plot-width", "single"], "--plot-width"),
    (["--no-plot-title"], "--no-plot-title"),
]


def save(saved: Result) -> None:
    Path("one").mkdir()
    store.write(saved, Path("one"))


@pytest.mark.parametrize(("flags", "name"), ASKS)
def test_flags_of_the_plot_are_refused_without_it(run: Call, flags: list[str], name: str) -> None:
    save(result([sample()]))
    done = run("show", "one", "--no-plot", *flags)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: {name} with --no-plot: give one of them\n"
    assert run("show", "one", *flags).exit_code == 0


@pytest.mark.parametrize(("flags", "name"), [*ASKS, (["--plot"], "--plot")])
def test_what_has_no_plot_refuses_the_flags_of_one(run: Call, flags: list[str], name: str) -> None:
    save(check([verdict()]))
    done = run("show", "one", *flags)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: a result of check has no plot: leave out {name}\n"
    with Journal.create(Path(), header(rounds=3)):
        begun = run("show", ".", *flags)
    assert begun.exit_code == 2
    assert begun.stderr == f"error: no run has ended, so that there is no plot: leave out {name}\n"
    assert run("show", "one").exit_code == run("show", ".").exit_code == 0


@pytest.mark.parametrize("flags", [["-o", "figure.pdf"], ["--plot"]])
def test_a_plot_that_is_asked_for_needs_matplotlib(flags: list[str]) -> None:
    save(result([sample()]))
    command = [sys.executable, "-c", WITHOUT_MATPLOTLIB, "show", "one"]
    missing = "the plot needs Matplotlib: pip install 'regtopk-bench[plot]'\n"
    plain = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (plain.returncode, plain.stderr) == (0, missing)
    asked = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stderr) == (2, f"error: {missing}")
    assert asked.stdout == plain.stdout


def test_a_plot_that_is_asked_for_and_fails_is_a_failure(
    run: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regtopk_bench.cli import show

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no font")

    save(result([sample()]))
    monkeypatch.setattr(show, "plot", fail)
    assert run("show", "one").exit_code == 0
    done = run("show", "one", "--plot")
    assert done.exit_code == 3
    assert done.stderr == "error: the plot could not be drawn (RuntimeError: no font)\n"


def test_where_it_was_drawn_is_told_without_control_characters(run: Call) -> None:
    save(result([sample()]))
    done = run("show", "one", "-o", "a\x1b[2Jb")
    assert done.exit_code == 0
    assert Path("a\x1b[2Jb/convergence.png").exists()
    assert done.stderr == "drew a\\x1b[2Jb/convergence.png\n"
