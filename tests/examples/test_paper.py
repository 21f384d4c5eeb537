"""The example of a paper: what the tool makes is what the text asks for, and LaTeX sets it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.processes import COMMAND

EXAMPLE = Path(__file__).parents[2] / "examples" / "paper"
SETTINGS = "--workers 2 --samples 10 --dim 8 --rounds 20 --density 0.5 --seeds 0-2"

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="there is no make")


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """A copy of the example."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "paper"))


def make(paper: Path, *targets: str) -> None:
    variables = (f"BENCH={' '.join(COMMAND)}", f"SETTINGS={SETTINGS}")
    done = subprocess.run(
        ["make", *variables, *targets], cwd=paper, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_text_asks_for_is_made(paper: Path) -> None:
    make(paper, "tables.tex", "convergence.pdf")
    text = (paper / "main.tex").read_text(encoding="utf-8")
    tables = (paper / "tables.tex").read_text(encoding="utf-8")
    labels = set(re.findall(r"\\label\{(.*?)\}", text + tables))
    assert labels == set(re.findall(r"\\ref\{(.*?)\}", text))
    assert (paper / "convergence.pdf").read_bytes().startswith(b"%PDF")
    make(paper, "clean")
    assert {each.name for each in paper.iterdir()} == {".gitignore", "Makefile", "main.tex"}


def test_an_experiment_that_was_interrupted_is_begun_again(paper: Path) -> None:
    endless = SETTINGS.replace("--rounds 20", "--rounds 1000000")
    command = ["make", f"BENCH={' '.join(COMMAND)}", f"SETTINGS={endless}", "tables.tex"]
    process = subprocess.Popen(command, cwd=paper, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not list(paper.glob("*/*/journal.jsonl")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    make(paper, "tables.tex")
    assert r"\begin{tabular}" in (paper / "tables.tex").read_text(encoding="utf-8")
    (run,) = (paper / "run").iterdir()
    assert not (run / "journal.jsonl").exists()


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_latex_sets_it(paper: Path) -> None:
    make(paper)
    assert (paper / "main.pdf").read_bytes().startswith(b"%PDF")
    log = (paper / "main.log").read_text(encoding="utf-8", errors="replace")
    assert "undefined" not in log
    assert "Overfull" not in log
