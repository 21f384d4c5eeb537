"""What a user sees while a command runs: on a terminal, and in a log file."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench.cli.progress import duration
from regtopk_bench.cli.training import in_ranges
from regtopk_bench.results import store
from tests.cli import outside
from tests.cli.processes import COMMAND, whole
from tests.results.samples import result
from tests.results.samples import run as sample

Call = Callable[..., Any]

LINREG = ("linreg", "-n", "2", "--samples", "9", "--dim", "5", "-d", "0.4", "--no-save")
SLOW = (*LINREG, "-a", f"topk,{outside.NAME}:beta=0.1,{outside.NAME}:beta=0.2", "-p", "1")

SOON = """
import sys
from regtopk_bench.cli import progress
progress._LINE_SECONDS, progress._BAR_AFTER_SECONDS = 0.3, 0.1
progress._MEASURED_SECONDS, progress._LONG_SECONDS = {measured}, {long}
progress._PATIENCE_SECONDS = 0.5
from regtopk_bench.__main__ import main
main()
"""
"""The program, with times that a test can wait for."""


@pytest.fixture(autouse=True)
def _slow_algorithm(tmp_path: Path) -> Iterator[None]:
    outside.bring(tmp_path)
    yield
    outside.forget()


def soon(measured: float = 0.2, long: float = 1e9) -> tuple[str, ...]:
    return sys.executable, "-c", SOON.format(measured=measured, long=long)


def logged(*arguments: str, program: Sequence[str], pause: float = 0.02) -> tuple[str, list[str]]:
    """Run a command whose streams are no terminals; return what each has."""
    done = subprocess.run(
        [*program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | outside.slow(pause),
    )
    return done.stdout, done.stderr.splitlines()


def seen(command: Sequence[str], *, pause: float = 0.0, **environment: str) -> str:
    """Run a command with stderr on a terminal of 80 columns; return all that it writes there."""
    ours, its = pty.openpty()
    variables = os.environ | outside.slow(pause) | {"TERM": "xterm", "COLUMNS": "80"} | environment
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=its, env=variables) as process:
        os.close(its)
        written = b""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    written += os.read(ours, 65536)
                except OSError:  # nobody has it open any more
                    break
        os.close(ours)
        assert process.stdout is not None
        process.stdout.read()
    assert process.returncode == 0, written
    return written.decode()


def test_a_log_file_has_an_estimate_and_a_line_now_and_then() -> None:
    stdout, lines = logged(*SLOW, "-r", "40", "-f", "csv", program=soon(long=0.0))
    assert len(stdout.splitlines()) == 4
    expected = (
        r"3 runs, about \d+ \w+ at the speed of the first \d+ rounds; Ctrl-C prints what is.*"
    )
    (estimate,) = [line for line in lines if re.fullmatch(expected, line)]
    pattern = r"run \d of 3, .* seed 0: (\d+) of 120 rounds \((\d+) %\)(, about \d+ \w+ left)?"
    found = [re.fullmatch(pattern, line) for line in lines if line != estimate]
    assert len(found) >= 2, lines
    assert all(found), lines
    done = [int(each[1]) for each in found if each]
    assert done == sorted(done)
    assert [int(each[2]) for each in found if each] == [round(100 * n / 120) for n in done]


def test_several_jobs_have_one_line() -> None:
    arguments = (*SLOW[:-2], "-j", "2", "-r", "60")
    _, lines = logged(*arguments, program=soon(), pause=0.05)
    assert any(re.match(r"run [23] of 3, .*: [1-9]\d* of 180 rounds \(\d+ %\)", at) for at in lines)


def test_quiet_is_quiet() -> None:
    assert logged(*SLOW, "-r", "20", "-q", program=soon(long=0.0))[1] == []
    assert seen([*soon(), *SLOW, "-r", "20", "--quiet"], pause=0.02) == ""


def test_a_short_run_has_no_line_and_no_estimate() -> None:
    done = whole(*LINREG, "-r", "20")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_that_is_saved_is_kept() -> None:
    saved = [word for word in SLOW if word != "--no-save"]
    _, lines = logged(*saved, "-r", "40", program=soon(long=0.0))
    assert any(line.endswith("Ctrl-C keeps what is done") for line in lines), lines


def test_an_estimate_says_what_it_has_not_seen() -> None:
    images = ("cifar", "--dataset", "synthetic", "--image-size", "8", "-b", "2", "-n", "2")
    flags = ("-a", outside.NAME, "-p", "1", "--no-save", "-r", "30", "--evaluate-every", "30")
    _, lines = logged(*images, *flags, program=soon(long=0.0), pause=0.05)
    assert any("images, evaluations not counted; Ctrl-C" in line for line in lines), lines


def test_kernels_are_announced_too() -> None:
    small = ("kernels", "-n", "70000,140000", "-d", "0.01", "-r", "9", "--no-save")
    _, lines = logged(*small, program=soon(measured=0.0, long=0.0))
    assert any(line.startswith("2 problems, about ") for line in lines), lines


def test_the_gate_is_announced_too() -> None:
    Path("benchmarks.toml").write_text("version = 1\n[profiles.ci.toy]\nrounds = 5\n")
    program = soon(measured=0.0, long=0.0)
    _, lines = logged("baseline", "create", "--time", "*/topk*", "-p", "3", program=program)
    assert "3 cells, about 10 s; Ctrl-C leaves the baseline as it is" in lines
    pattern = (
        r"3 processes that time cells, about \d+ \w+ at the speed of the first one; Ctrl-C leaves "
        "the baseline as it is"
    )
    assert any(re.fullmatch(pattern, line) for line in lines), lines
    _, lines = logged("check", "--select", "*/topk*", program=program)
    assert "1 cell, about 10 s; Ctrl-C keeps what is done" in lines
    budget = ("--timing", "--time-budget", "100", "--dry-run")
    assert not any("Ctrl-C" in line for line in logged("check", *budget, program=program)[1])


def test_a_terminal_has_a_bar_within_its_width() -> None:
    written = seen([*soon(), *SLOW, "-r", "40"], pause=0.02)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", written).replace("\r", "\n")
    assert "run 2 of 3, " in plain
    assert "rounds/s" in plain
    assert max(map(len, plain.splitlines())) <= 80
    assert "%)" not in plain


def test_the_first_word_comes_before_what_is_slow_and_is_erased() -> None:
    assert seen([*COMMAND, *LINREG, "-r", "2"]).startswith("starting...\r\x1b[K")
    assert seen([*COMMAND, *LINREG, "-r", "2"], TERM="dumb") == ""
    assert seen([*COMMAND, "config", "toy"]) == ""
    for heavy in ("torch", "numba"):
        Path(heavy).mkdir()
        Path(heavy, "__init__.py").write_text("import sys; sys.stderr.write('slow')")
    late = "import sys; sys.argv[0] = 'x'; from regtopk_bench.__main__ import main; main()"
    ours, its = pty.openpty()
    command = [sys.executable, "-c", late, *LINREG]
    subprocess.run(command, stderr=its, stdout=subprocess.DEVNULL, check=False)
    os.close(its)
    assert os.read(ours, 65536).startswith(b"starting...\r\x1b[Kslow")
    os.close(ours)


def test_the_first_word_comes_before_results_are_read() -> None:
    Path("runs/one").mkdir(parents=True)
    store.write(result([sample()]), Path("runs/one"))
    for reading in (["runs"], ["show", "latest", "--no-plot"], ["compare", "latest", "latest"]):
        assert seen([*COMMAND, *reading]) == "starting...\r\x1b[K"
    assert seen([*COMMAND, "runs", "-q"]) == ""


def test_unpacking_and_decoding_are_shown(folder: Path) -> None:
    archive = shutil.make_archive("images", "gztar", folder.parent, "images")
    flags = ("-n", "2", "-b", "2", "-r", "1", "-a", "topk", "-d", "0.1", "-p", "1", "--no-save")
    always = soon()[2].replace("0.3", "0.0").replace("import sys\n", "import sys\n", 1)
    always = always.replace(
        "progress._PATIENCE", "progress._REFRESH_SECONDS = 0.0\nprogress._PATIENCE"
    )
    program = (sys.executable, "-c", always)
    _, lines = logged("cifar", "--data", archive, "--cache", "cache", *flags, program=program)
    unpacking = rf"unpacking {re.escape(archive)}: ([1-9]\d*) of \1 kB \(100 %\)"
    assert any(re.match(unpacking, line) for line in lines), lines
    assert any(re.match(r"decoding images: 48 of 48 images \(100 %\)", line) for line in lines)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "10 s"),
        (14.0, "10 s"),
        (94.0, "90 s"),
        (96.0, "2 min"),
        (38 * 60.0, "38 min"),
        (5399.0, "90 min"),
        (5401.0, "1.5 h"),
        (47 * 3600.0, "47.0 h"),
        (49 * 3600.0, "2.0 days"),
    ],
)
def test_durations_are_rounded(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--seeds", "10"], "one seed: 10; 0-9 are 10 seeds"),
        (["--seeds", "1"], "one seed: 1"),
        (["-s", "0-2,7"], "4 seeds: 0-2,7"),
    ],
)
def test_it_is_said_which_seeds_were_taken(run: Call, flags: list[str], told: str) -> None:
    done = run(*LINREG, "-r", "2", "-a", "topk", *flags)
    assert (done.exit_code, done.stderr) == (0, f"{told}\n")
    assert run(*LINREG, "-r", "2", "-a", "topk", *flags, "-q").stderr == ""


def test_seeds_are_written_as_they_are_given() -> None:
    assert in_ranges((0,)) == "0"
    assert in_ranges((0, 1)) == "0-1"
    assert in_ranges((3, 0, 1, 2, 9, 11, 12)) == "3,0-2,9,11-12"
