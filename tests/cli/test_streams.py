"""What stdout and stderr are connected to costs no output, no exit code and no traceback."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

from regtopk_bench.results import store
from tests.results.samples import result
from tests.results.samples import run as sample

SMALL = "-n 2 --samples 10 --dim 5 -r 3 -a topk -d 0.4 -p 1"
Done = subprocess.CompletedProcess[bytes]

FORMATS = ["table", "json", "csv", "markdown", "latex"]


def shell(redirection: str, arguments: str = f"linreg {SMALL} --no-save", setup: str = "") -> Done:
    command = f"set -o pipefail; {setup} {sys.executable} -m regtopk_bench {arguments}"
    return subprocess.run(
        ["bash", "-c", f"{command} {redirection}"], capture_output=True, check=False
    )


@functools.cache
def undisturbed(arguments: str) -> Done:
    return shell("", arguments)


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_may_leave(reader: str, output_format: str) -> None:
    done = shell(f"| {reader}", f"linreg {SMALL} -f {output_format}")
    assert done.returncode == 0
    (folder,) = Path("runs").iterdir()
    assert done.stderr.decode() == f"saved {folder}\n"
    assert {path.name for path in folder.iterdir()} == {
        *("result.json", "traces.csv", "convergence.png")
    }


@pytest.mark.parametrize("arguments", ["--help", "config", f"linreg {SMALL} -f json"])
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_data_that_cannot_be_written_is_a_failure(
    redirection: str, reason: str, arguments: str
) -> None:
    done = shell(redirection, arguments)
    assert done.returncode == 3
    assert done.stderr.decode().splitlines()[-1] == f"error: cannot write to stdout: {reason}"
    assert b"Traceback" not in done.stderr
    if arguments.startswith("linreg"):  # all is saved the same
        assert len(list(Path("runs").glob("*/result.json"))) == 1


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full", "<&-"])
@pytest.mark.parametrize(
    ("arguments", "code"), [(f"linreg {SMALL}", 0), ("linreg --dim 0", 2), ("--bogus", 2)]
)
def test_messages_that_cannot_be_written_change_nothing(
    redirection: str, arguments: str, code: int
) -> None:
    done, normal = shell(redirection, arguments), undisturbed(arguments)
    assert done.returncode == normal.returncode == code
    assert len(done.stdout) == len(normal.stdout)
    for journal in Path("runs").glob("*/result.json"):
        assert journal.read_text().startswith("{")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("arguments", ["linreg --help", "--help", f"linreg {SMALL} --no-save"])
def test_every_encoding_can_be_printed_in(encoding: str, arguments: str) -> None:
    done = shell("", arguments, f"LC_ALL=C PYTHONIOENCODING={encoding}")
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert len(done.stdout.decode(encoding).splitlines()) > 5


@pytest.mark.parametrize("columns", ["0", "-5", "1", "wide", "", "1000000", "9" * 5000])
def test_any_width_is_survived(columns: str) -> None:
    store.write(result([sample()]), Path())
    for arguments in ("--help", "show . --no-plot"):
        done = shell("", arguments, f"COLUMNS={columns}")
        assert done.returncode == 0, done.stderr
        assert 0 < len(done.stdout) < 200_000


def test_a_run_survives_a_width_of_nothing() -> None:
    done = shell("", f"linreg {SMALL} --no-save", "COLUMNS=0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert 0 < len(done.stdout) < 200_000
