from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.processes import COMMAND, whole
from tests.gate import mine

PROFILE = """
version = 1

[profiles.ci.linreg]
workers = 4
samples = 20
dim = 12
rounds = 40
target = 50
algorithm = ["dense", "mine.Mine", "regtopk"]
density = [0.5]

[[profiles.ci.claims]]
algorithm = "mine.Mine"
below = "dense"
density = 0.5
decades = -8
"""


class Project:
    """A folder with a sparsifier, a suite of a few cells, and whatever checks leave in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.suite = folder / "benchmarks.toml"
        self.code = folder / "mine.py"
        self.baseline = folder / "baseline.json"
        self.cache = folder / "cache"
        self.suite.write_text(PROFILE, encoding="utf-8")
        self.code.write_text(Path(mine.__file__).read_text(encoding="utf-8"), encoding="utf-8")

    def breaks(self, fault: str) -> None:
        """Have the sparsifier misbehave."""
        text = self.code.read_text(encoding="utf-8")
        line = next(each for each in text.splitlines() if each.startswith("FAULT = "))
        self.code.write_text(text.replace(line, f'FAULT = "{fault}"'), encoding="utf-8")

    def changes(self, before: str, after: str) -> None:
        """Edit the suite."""
        text = self.suite.read_text(encoding="utf-8")
        assert before in text
        self.suite.write_text(text.replace(before, after), encoding="utf-8")

    def check(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a check that prints JSON."""
        done = whole("check", "-f", "json", "--no-save", *arguments)
        assert "Traceback" not in done.stderr
        return done

    def found(self, *arguments: str) -> tuple[int, dict[tuple[str, str], tuple[str, str]]]:
        """Run a check; return its exit code, and verdict and reason by cell and metric."""
        done = self.check(*arguments)
        return done.returncode, {
            (each["name"], each["metric"]): (each["verdict"], each["reason"])
            for each in json.loads(done.stdout)["verdicts"]
        }


@pytest.fixture(scope="session")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The baseline of the project, made once."""
    project = Project(tmp_path_factory.mktemp("accepted"))
    done = subprocess.run(
        [*COMMAND, "baseline", "create", "-q", "--time", "*Mine*", "-p", "3"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return project.baseline.read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, accepted: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with its baseline, in the working directory, that nobody's doctor has been at."""
    made = Project(tmp_path)
    monkeypatch.setenv("REGTOPK_BENCH_CACHE", str(made.cache))
    made.baseline.write_text(accepted, encoding="utf-8")
    return made
