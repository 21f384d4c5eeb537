"""The commands of README and docs, as a stranger calls them who has the wheel and no clone."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.installed.environment import Environment

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

SMALLER = {
    "ROUNDS": "2",
    "WORKERS": "2",
    "DATA": "pictures",
    "BATCH": "2",
    "WEIGHTS": "none",
    "IMAGE_SIZE": "32",
    "EVALUATE_EVERY": "2",
    "REPEATS": "3",
    "SEEDS": "0",
    "SIZE": "1000",
    "PARAMS": "1e5",
    "NETWORK": "1gbit:1ms",
    "COMPUTE": "10ms",
}
"""Settings that a command does not give itself, so that it ends soon."""

FEWER = {
    "0-9": "0,1",
    "0-4": "0,1",
    "0-2": "0",
    "1e7": "1e5",
    "--rounds 100": "--rounds 2",
    "-r 21": "-r 3",
    "11173962": "1e5",
}
"""Parts of commands that only make them take longer."""

NEEDS_MORE = {
    "--resume": "a run that was interrupted: tests/cli/test_resume.py",
    "--against": "another checkout: tests/gate",
    "doctor": "minutes of quiet: tests/gate/test_doctor.py",
}

CREATE = "regtopk-bench baseline create"
"""It takes longer than any other, and others need what it makes."""

MINE = """
from dataclasses import dataclass
from regtopk_bench import RegTopK

@dataclass(frozen=True, kw_only=True)
class Mine(RegTopK):
    beta: float
"""


def commands() -> list[str]:
    """Return the commands in blocks, and those that stand in the text."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    blocks = "\n".join(block for language, block in fences if language == "bash")
    lines = blocks.replace("\\\n", " ").splitlines()
    text = re.sub(r"^```.*?^```", "", TEXT, flags=re.DOTALL | re.MULTILINE)
    lines += re.findall(r"`(regtopk-bench [^`\n]+)`", text)
    found = (" ".join(line.partition("#")[0].split()) for line in lines)
    return list(dict.fromkeys(each for each in found if each.startswith("regtopk-bench ")))


def words(command: str) -> list[str]:
    """Return what the shell makes of a command, up to a pipe, with less to do."""
    for long, short in FEWER.items():
        command = command.replace(long, short)
    return shlex.split(command.partition("|")[0], comments=True)


@pytest.fixture(scope="session")
def shared(full: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's commands are about."""
    folder = tmp_path_factory.mktemp("stranger")
    draw = np.random.default_rng(0)
    for part, count in (("train", 40), ("test", 4)):
        for name in range(10):
            home = folder / "pictures" / part / f"class{name}"
            home.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 128, (32, 32, 3)) + 10 * name
                Image.fromarray(pixels.astype(np.uint8)).save(home / f"{number}.png")
    for archive in ("cifar-10-python.tar.gz", "imagenette2-160.tgz"):
        with tarfile.open(folder / archive, "w:gz") as packed:
            packed.add(folder / "pictures", "pictures")
    package = folder / "mypackage"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "sparsifiers.py").write_text(MINE, encoding="utf-8")
    source = "from regtopk_bench.kernels.reference import select, step\n"
    (package / "kernels.py").write_text(source, encoding="utf-8")
    done = full.bench("linreg", "-r", "5", "-o", "made", folder=folder)
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "made").iterdir()
    for name in ("A", "B", "2026-11-22_09-22-46_linreg"):
        shutil.copytree(made, folder / "runs" / name)
    return folder


def suite() -> str:
    """Return the suite in the README."""
    (found,) = re.findall(r"^```toml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture(scope="session")
def created(
    full: Environment, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The baseline of the README's suite, made once, and how making it ended."""
    folder = tmp_path_factory.mktemp("suite")
    gather(shared, folder)
    (folder / "benchmarks.toml").write_text(suite(), encoding="utf-8")
    return folder, full.run(words(CREATE), folder)


def gather(shared: Path, folder: Path) -> None:
    """Put what commands are about into a folder."""
    shutil.copytree(shared / "runs", folder / "runs")
    for each in shared.iterdir():
        if each.name != "runs":
            (folder / each.name).symlink_to(each)


def test_every_command_is_known() -> None:
    assert len(commands()) > 20
    assert "regtopk-bench toy" in commands()
    assert any("-i numba" in each and "--device cpu" in each for each in commands())
    for each in NEEDS_MORE:
        assert any(each in command for command in commands())


@pytest.mark.parametrize(
    "command", [each for each in commands() if not any(more in each for more in NEEDS_MORE)]
)
def test_it_runs(
    command: str,
    full: Environment,
    shared: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    gather(shared, tmp_path)
    if {"baseline", "check"} & set(command.split()):
        folder, done = request.getfixturevalue("created")
        if command != CREATE:
            for name in ("benchmarks.toml", "baseline.json"):
                shutil.copy(folder / name, tmp_path)
            done = full.run(words(command), tmp_path)
    else:
        settings = {f"REGTOPK_BENCH_{name}": SMALLER[name] for name in SMALLER}
        done = full.run(words(command), tmp_path, **settings)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout or "baseline" in command


@pytest.mark.parametrize(
    "command", ["linreg -r 4", "cifar --data pictures -r 2 -b 2", "kernels -n 1000 -d 0.1 -r 3"]
)
def test_its_plot_is_drawn(command: str, full: Environment, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").symlink_to(shared / "pictures")
    done = full.run(["regtopk-bench", *command.split()], tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert [file.suffix for file in folder.iterdir()].count(".png") == 1
