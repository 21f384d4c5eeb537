"""What the wheel holds, and that it can be imported without its extras."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import regtopk_bench
from tests.installed.environment import QUIET, Environment

ROOT = Path(regtopk_bench.__file__).parent
EXTRAS = {"images", "plot", "fast", "all", "dev"}
OPTIONAL = {"matplotlib", "numba", "pillow", "torchvision"}

IMPORT = """
import importlib, pkgutil, regtopk_bench
assert "site-packages" in regtopk_bench.__file__
for name in regtopk_bench.__all__:
    getattr(regtopk_bench, name)
for found in pkgutil.walk_packages(regtopk_bench.__path__, "regtopk_bench.", lambda name: None):
    if not found.name.endswith("__main__"):
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            print(found.name, error.name)
"""


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    files = (path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    ours = {f"regtopk_bench/{path.relative_to(ROOT).as_posix()}" for path in files}
    with zipfile.ZipFile(wheel) as zipped:
        held = {name for name in zipped.namelist() if ".dist-info/" not in name}
        described = {Path(name).name for name in zipped.namelist() if ".dist-info/" in name}
    assert held == ours
    assert {"regtopk_bench/py.typed", "regtopk_bench/settings/profiles.toml"} <= held
    assert described >= {"METADATA", "LICENSE", "entry_points.txt"}


def test_what_it_requires(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as zipped:
        (name,) = (each for each in zipped.namelist() if each.endswith("METADATA"))
        metadata = Parser().parsestr(zipped.read(name).decode())
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    always = {each.name for each in required if not each.marker}
    assert set(metadata.get_all("Provides-Extra", [])) == EXTRAS
    assert "torch" in always
    assert not always & OPTIONAL
    extra = {each.name for each in required if each.marker}
    assert extra >= OPTIONAL
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_only_what_an_extra_is_for_fails_to_import(core: Environment, tmp_path: Path) -> None:
    done = core.run([core.python, "-W", "ignore", "-c", IMPORT], tmp_path)
    assert done.returncode == 0, done.stderr
    failed = dict(line.split() for line in done.stdout.splitlines())
    assert set(failed.values()) == {"matplotlib", "numba"}
    for module, missing in failed.items():
        home = {"matplotlib": "regtopk_bench.report.", "numba": "regtopk_bench.kernels.numba_cpu"}
        assert module.startswith(home[missing])


@pytest.mark.parametrize("arguments", [("--help",), ("cifar", "--help"), ("config",)])
def test_help_needs_no_extra(core: Environment, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = core.bench(*arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 10


def test_the_version_is_that_of_the_wheel(core: Environment, wheel: Path, tmp_path: Path) -> None:
    done = core.bench("--version", folder=tmp_path)
    built = re.match(r"regtopk_bench-([^-]+)-", wheel.name)
    assert built
    assert done.stdout == f"regtopk-bench {built[1]}\n"


def test_what_requires_it_is_installed_after_it_without_an_index(
    core: Environment, tmp_path: Path
) -> None:
    source = shutil.copytree(ROOT.parent / "examples" / "my_sparsifier", tmp_path / "source")
    pip = [sys.executable, "-m", "pip", "--isolated"]
    build = ("wheel", *QUIET, "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path)
    subprocess.run([*pip, *build, source], check=True, timeout=300)
    (built,) = tmp_path.glob("*.whl")
    install = ("install", "--dry-run", "--no-index", "--disable-pip-version-check", built)
    done = subprocess.run(
        [*pip, "--python", core.python, *install], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Would install my-sparsifier-0.1.0" in done.stdout
