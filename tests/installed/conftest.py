from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.installed.environment import QUIET, Environment, make

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "regtopk_bench")
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
WARM_UP = "import regtopk_bench.kernels.warm_up"

Once = Callable[[str, Callable[[Path], object]], Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow for the first test to build the wheel and its environments, and to compile kernels."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """Make a folder by its name, once for all processes that run tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        folder, whole = shared / name, shared / f"{name}.whole"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                whole.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def wheel(once: Once) -> Path:
    """The wheel, built from a source distribution as `python -m build` does, without a network."""
    (found,) = once("wheel", _build).glob("built/*.whl")
    return found


@pytest.fixture(scope="session")
def core(wheel: Path, once: Once) -> Environment:
    """An environment without extras."""
    return Environment(once("core", lambda folder: make(folder, wheel)))


@pytest.fixture(scope="session")
def full(wheel: Path, once: Once) -> Environment:
    """An environment with all extras, and the kernels compiled."""

    def fill(folder: Path) -> None:
        made = make(folder, wheel, ["all"])
        assert made.run([made.python, "-c", WARM_UP], folder).returncode == 0

    return Environment(once("full", fill))


def _build(folder: Path) -> None:
    source, unpacked, built = (folder / name for name in ("source", "unpacked", "built"))
    source.mkdir()
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    built.mkdir()
    subprocess.run([sys.executable, "-c", SDIST, built], cwd=source, check=True, timeout=300)
    (archive,) = built.iterdir()
    shutil.unpack_archive(archive, unpacked, filter="data")
    (content,) = unpacked.iterdir()
    pip = [sys.executable, "-m", "pip", "--isolated", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *QUIET, "--wheel-dir", built, content], check=True, timeout=300)
