"""Commands where extras are missing: what works, works; what does not says what to install."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.processes import outcomes
from tests.installed.environment import Environment

LINREG = ("linreg", "-r", "20", "-a", "topk,regtopk", "-d", "0.5")
SYNTHETIC = (
    "cifar",
    "--dataset",
    "synthetic",
    "--workers",
    "2",
    "-b",
    "5",
    "-r",
    "2",
    "-a",
    "topk",
)
FAST = "pip install 'regtopk-bench[fast]'"
IMAGES = "pip install 'regtopk-bench[images]'"
PLOT = "pip install 'regtopk-bench[plot]'"

SUITE = """
version = 1

[profiles.ci.toy]
rounds = 5

[profiles.ci.kernels]
size = [1000]
density = [0.1]
distribution = ["normal"]
implementation = ["numba", "reference"]
device = "cpu"
threads = 1
"""


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of stderr."""
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        for name in ("dark", "light"):
            home = tmp_path / "pictures" / part / name
            home.mkdir(parents=True)
            for number in range(4):
                Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(home / f"{number}.png")
    return tmp_path / "pictures"


def test_a_run_says_what_would_be_faster_and_that_its_plot_is_left_out(
    core: Environment, tmp_path: Path
) -> None:
    done = core.bench(*LINREG, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    warning, saved, left_out = errors(done)
    assert warning.startswith("warning: ")
    assert FAST in warning
    assert saved.startswith("saved ")
    assert PLOT in left_out
    (folder,) = (tmp_path / "runs").iterdir()
    assert {file.name for file in folder.iterdir()} == {"result.json", "traces.csv"}
    shown = core.bench("show", str(folder), folder=tmp_path)
    assert (shown.returncode, shown.stdout) == (0, done.stdout)
    (said,) = errors(shown)
    assert PLOT in said


@pytest.mark.parametrize("how", [(), ("-p", "2"), ("-j", "2")], ids=["one", "pool", "jobs"])
def test_bits_are_those_of_an_installation_with_extras(
    core: Environment, full: Environment, tmp_path: Path, how: tuple[str, ...]
) -> None:
    command = (*LINREG, *how, "--no-save", "-f", "json")
    bare, whole = (each.bench(*command, folder=tmp_path) for each in (core, full))
    assert (bare.returncode, whole.returncode) == (0, 0), bare.stderr
    key = lambda run: str(run["cell"])  # noqa: E731 - jobs end in any order
    assert sorted(outcomes(bare.stdout), key=key) == sorted(outcomes(whole.stdout), key=key)
    (warning,) = errors(bare)
    assert FAST in warning
    assert not errors(whole)
    versions = [json.loads(each.stdout)["runs"][0]["environments"][0] for each in (bare, whole)]
    assert versions[0].pop("numba") is None
    assert versions[1].pop("numba")


def test_the_warning_is_a_note(core: Environment, tmp_path: Path) -> None:
    done = core.bench(*LINREG, "--no-save", "--quiet", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "needs"),
    [
        (("cifar",), "CIFAR-10 needs torchvision"),
        (("cifar", "--data", "pictures"), "reading images needs Pillow"),
        ((*SYNTHETIC, "-m", "resnet18"), 'model "resnet18" needs torchvision'),
    ],
)
def test_images_are_an_extra(
    core: Environment, tmp_path: Path, pictures: Path, arguments: tuple[str, ...], needs: str
) -> None:
    done = core.bench(*arguments, "-q", folder=tmp_path)
    assert done.returncode == 2
    (said,) = errors(done)
    assert said == f"error: {needs}: {IMAGES}"
    assert not list(tmp_path.glob("runs/*"))


def test_synthetic_images_are_not(core: Environment, tmp_path: Path) -> None:
    done = core.bench(*SYNTHETIC, "--no-save", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (warning,) = errors(done)
    assert FAST in warning


def test_kernels_are_timed_without_what_is_missing(core: Environment, tmp_path: Path) -> None:
    small = ("kernels", "-n", "1000", "-d", "0.1", "-r", "3", "--no-save")
    done = core.bench(*small, "-f", "csv", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "numba" not in done.stdout
    assert "torch.topk" in done.stdout
    assert any("left out: numba" in line and FAST in line for line in errors(done))
    alone = core.bench(*small, "-i", "numba", folder=tmp_path)
    assert (alone.returncode, alone.stdout) == (2, "")
    assert errors(alone) == [
        f"error: numba cannot be timed on cpu: the numba implementation needs Numba: {FAST}"
    ]


def test_a_gate_skips_what_is_missing(core: Environment, tmp_path: Path) -> None:
    (tmp_path / "benchmarks.toml").write_text(SUITE, encoding="utf-8")
    created = core.bench("baseline", "create", "-q", folder=tmp_path)
    assert created.returncode == 0, created.stderr
    done = core.bench("check", "-f", "json", "--no-save", "-q", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    verdicts = json.loads(done.stdout)["verdicts"]
    (skipped,) = (each for each in verdicts if each["verdict"] == "SKIPPED")
    assert skipped["name"].startswith("kernels/step/numba")
    assert skipped["reason"] == "unavailable"
    assert FAST in skipped["sentence"]
    assert {each["verdict"] for each in verdicts} == {"PASS", "SKIPPED"}
