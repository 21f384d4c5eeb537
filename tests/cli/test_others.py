"""`toy`, `show`, `config`, help, and the program as a process."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench.cli.invocation import is_out_of_memory
from tests.cli.test_linreg import PROBLEM, SMALL

Call = Callable[..., Any]


def test_toy_shows_the_published_losses(run: Call) -> None:
    done = run("toy")
    assert done.exit_code == 0, done.stderr
    (row,) = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["10"]]
    assert row == ["10", "0.087972", "0.313262", "0.083659"]
    assert not Path("runs").exists()


def test_toy_at_chosen_rounds_can_be_saved(run: Call) -> None:
    done = run("toy", "--at", "3", "--at", "7", "--save", "-f", "csv")
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == ["round", "3", "7"]
    (folder,) = Path("runs").iterdir()
    assert (folder / "convergence.png").exists()
    assert run("toy", "--at", "200").exit_code == 2


@pytest.mark.parametrize("command", ["linreg", "toy"])
def test_show_prints_what_was_printed(run: Call, command: str) -> None:
    arguments = [*SMALL, "--seeds", "0,2"] if command == "linreg" else ["--save"]
    printed = {
        output_format: run(command, *arguments, "-f", output_format).stdout
        for output_format in ("table", "csv", "markdown", "latex", "json")
    }
    folder = min(Path("runs").iterdir())
    plot = folder / "convergence.png"
    plot.unlink()
    shown = run("show", str(folder))
    assert shown.stdout == printed["table"]
    assert plot.exists()
    assert f"drew {plot}" in shown.stderr
    for output_format in ("csv", "markdown", "latex"):
        again = run("show", str(folder), "-f", output_format, "--no-plot").stdout.splitlines()
        assert len(again) == len(printed[output_format].splitlines())
    again = json.loads(run("show", str(folder), "-f", "json", "--no-plot").stdout)
    assert again["command"] == command


def test_show_draws_elsewhere_and_in_other_formats(run: Call) -> None:
    run("linreg", *SMALL)
    (folder,) = Path("runs").iterdir()
    for suffix, magic in (("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")):
        done = run("show", str(folder / "result.json"), "--plot-format", suffix, "-o", "plots")
        assert done.exit_code == 0
        assert Path(f"plots/convergence.{suffix}").read_bytes().startswith(magic)


def test_show_draws_into_a_file_that_is_named(run: Call) -> None:
    run("linreg", *SMALL)
    (folder,) = Path("runs").iterdir()
    paper = ["--plot-width", "single", "--no-plot-title"]
    for name, magic in (("a.pdf", b"%PDF"), ("new/b.svg", b"<?xml"), ("C.PNG", b"\x89PNG")):
        done = run("show", str(folder), "-o", name, *paper)
        assert done.exit_code == 0, done.stderr
        assert f"drew {name}" in done.stderr
        assert Path(name).read_bytes().startswith(magic)
    assert "252pt" in Path("new/b.svg").read_text()  # 3.5 inches
    assert run("show", str(folder), "-o", "a.pdf", "--plot-format", "pdf").exit_code == 0
    Path("folder.pdf").mkdir()
    assert run("show", str(folder), "-o", "folder.pdf").exit_code == 0
    assert Path("folder.pdf/convergence.png").exists()


@pytest.mark.parametrize("command", ["linreg", "cifar", "toy", "kernels", "check"])
def test_runs_refuse_a_file_as_their_folder(run: Call, command: str) -> None:
    done = run(command, "--output", "figure.PDF")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: --output: 'figure.PDF' names a file, but each run")
    assert "regtopk-bench show RUN --output figure.PDF" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(Path().iterdir())


def test_show_refuses_damaged_and_newer_results(run: Call) -> None:
    run("linreg", *SMALL)
    (folder,) = Path("runs").iterdir()
    file = folder / "result.json"
    text = file.read_text()
    for changed, message in (
        (text[:-100], "damaged or truncated"),
        (text.replace('"version": 2', '"version": 9'), "version 9"),
        (text.replace('"version": 2', '"version": 1'), "written by an older version"),
    ):
        file.write_text(changed)
        done = run("show", str(folder))
        assert done.exit_code == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert run("show", str(folder), "-f", "xml").exit_code == 2


def test_show_takes_little_time_and_no_torch(run: Call) -> None:
    """A benchmark has its time; here only that nothing slow is imported."""
    run("linreg", *SMALL)
    (folder,) = Path("runs").iterdir()
    code = (
        "import sys; from regtopk_bench.cli.main import app\n"
        f"app(['show', {str(folder)!r}, '--no-plot'], standalone_mode=False)\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy.stats', 'matplotlib')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "regtopk" in done.stdout


def test_a_plot_that_fails_costs_nothing_else(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from regtopk_bench.cli import session

    def fail(*_: object, **__: object) -> None:
        raise KeyError("no such style")

    monkeypatch.setattr(session, "plot", fail)
    done = run("linreg", *SMALL)
    assert done.exit_code == 0, done.stderr
    assert "topk" in done.stdout
    assert "the plot could not be drawn (KeyError: 'no such style'); all else is saved" in (
        " ".join(done.stderr.split())
    )
    (folder,) = Path("runs").iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["result.json", "traces.csv"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("No module named 'kiwisolver'"), "ModuleNotFoundError: No module"),
        (AttributeError("_ARRAY_API not found"), "AttributeError: _ARRAY_API not found"),
        (RuntimeError("no font"), "RuntimeError: no font"),
    ],
)
def test_show_tells_a_plot_that_fails_from_damage(
    run: Call, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    from regtopk_bench.cli import show

    def fail(*_: object, **__: object) -> None:
        raise error

    run("linreg", *SMALL)
    (folder,) = Path("runs").iterdir()
    monkeypatch.setattr(show, "plot", fail)
    done = run("show", str(folder))
    assert done.exit_code == 0, done.stderr
    assert "topk" in done.stdout
    assert done.stderr.startswith(f"the plot could not be drawn ({told}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [[], ["linreg"], ["toy"], ["show"], ["config"], ["config", "linreg"], ["config", "toy"]],
    ids=" ".join,
)
def test_help_for_every_command(run: Call, command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.exit_code == 0
    assert "Usage:" in done.stdout
    if command == ["linreg"]:
        for panel in ("Problem", "Training", "Sparsification", "Execution", "Report", "General"):
            assert panel in done.stdout


def test_version(run: Call) -> None:
    assert run("--version").stdout.startswith("regtopk-bench 0.")


def process(*arguments: str, **change: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "regtopk_bench", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | change,
        check=False,
    )


def test_as_a_process_stdout_is_pure_and_colour_is_off_when_piped() -> None:
    done = process("linreg", *SMALL, "-f", "json", "--no-save", NO_COLOR="1")
    assert done.returncode == 0
    json.loads(done.stdout)
    plain = process("linreg", *SMALL, "--no-save", PYTHONIOENCODING="ascii:strict", LC_ALL="C")
    assert plain.returncode == 0, plain.stderr
    assert "\x1b" not in plain.stdout


def test_a_reader_that_leaves_is_no_failure() -> None:
    command = f"{sys.executable} -m regtopk_bench linreg {' '.join(SMALL)} -f json --no-save"
    shell = f"set -o pipefail; {command} | head -c 10"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_command_prints_help() -> None:
    assert "Usage:" in (process().stdout + process().stderr)


@pytest.mark.parametrize("output_format", ["table", "json"])
def test_nobody_reads_and_all_is_saved(output_format: str) -> None:
    command = f"{sys.executable} -m regtopk_bench linreg {' '.join(SMALL)} -f {output_format}"
    shell = f"set -o pipefail; {command} | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (folder,) = Path("runs").iterdir()
    assert f"saved {folder}" in done.stderr
    assert (folder / "convergence.png").exists()


def test_a_failure_is_not_hidden_by_nobody_reading() -> None:
    command = f"{sys.executable} -m regtopk_bench linreg {' '.join(PROBLEM)} -r 3000 -l 10"
    shell = f"set -o pipefail; {command} | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "non-finite gradient" in done.stderr


def test_a_full_disk_is_told_to_whoever_interrupts(
    run: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regtopk_bench.cli import session, training

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    assert run("linreg", *SMALL, "-a", "topk", "-d", "0.5").exit_code == 0
    (folder,) = Path("runs").iterdir()
    monkeypatch.setattr(session.store, "write", full)
    monkeypatch.setattr(training, "run", interrupt)
    done = run("linreg", "--resume", str(folder))
    assert done.exit_code == 130
    assert f"cannot save to {folder}: No space left on device" in " ".join(done.stderr.split())
    assert f"--resume {folder}" in " ".join(done.stderr.split())


def test_how_to_resume_can_be_given_to_a_shell(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from regtopk_bench.cli import training

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    assert run("linreg", *SMALL, "-a", "topk", "-d", "0.5", "-o", "my runs").exit_code == 0
    (folder,) = Path("my runs").iterdir()
    monkeypatch.setattr(training, "run", interrupt)
    done = run("linreg", "--resume", str(folder))
    assert done.exit_code == 130
    (told,) = (line for line in done.stderr.splitlines() if line.startswith("to resume: "))
    command = shlex.split(told.removeprefix("to resume: "))
    assert command == ["regtopk-bench", "linreg", "--resume", str(folder)]


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_known_by_its_words(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one


WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None
from regtopk_bench.__main__ import main
main()
"""


def test_without_matplotlib_all_but_the_plot_is_there() -> None:
    command = [sys.executable, "-c", WITHOUT_MATPLOTLIB, "linreg", *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "regtopk" in done.stdout
    (folder,) = Path("runs").iterdir()
    saved, told = done.stderr.splitlines()
    assert saved == f"saved {folder}"
    needed = "the plot needs Matplotlib: pip install 'regtopk-bench[plot]'"
    assert told == f"{needed}; all else is saved"
    assert sorted(file.name for file in folder.iterdir()) == ["result.json", "traces.csv"]
