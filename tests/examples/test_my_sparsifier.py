"""The example of a package with a sparsifier of its own, installed and gated as by a stranger."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench.settings import CheckSettings, declarations, flag_name
from tests.cli.processes import COMMAND

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_sparsifier"
CYCLIC = "linreg/cyclic/density=0.2/seed=0"

Check = Callable[..., tuple[int, list[Any]]]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example, copied, is installed; no network is needed."""
    folder = tmp_path_factory.mktemp("example")
    source, site = folder / "source", folder / "site"
    shutil.copytree(EXAMPLE, source)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(source)],
        check=True,
        timeout=100,
    )
    return site


@pytest.fixture
def check(installed: Path, tmp_path: Path) -> Check:
    """Check the example in a folder with its suite and its baseline."""
    site = tmp_path / "site"
    shutil.copytree(installed, site)
    for name in ("benchmarks.toml", "baseline.json"):
        shutil.copy(EXAMPLE / name, tmp_path)

    def call(*arguments: str, edit: tuple[str, str] | None = None) -> tuple[int, list[Any]]:
        if edit:
            code = site / "my_sparsifier" / "__init__.py"
            text = code.read_text(encoding="utf-8")
            assert edit[0] in text
            code.write_text(text.replace(*edit), encoding="utf-8")
        done = subprocess.run(
            [*COMMAND, "check", "-f", "json", "--no-save", *arguments],
            env=os.environ | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)["verdicts"] if done.stdout else []

    return call


def test_the_example_passes_its_gate(check: Check) -> None:
    code, verdicts = check()
    failed = [each["sentence"] for each in verdicts if each["verdict"] not in ("PASS", "SKIPPED")]
    assert not failed
    assert code == 0
    assert CYCLIC in {each["name"] for each in verdicts}
    assert any(each["name"].startswith("cifar/cyclic") for each in verdicts)
    claims = [each for each in verdicts if each["metric"] == "claim"]
    assert len(claims) == 2
    assert {each["reason"] for each in claims} == {"claim-holds"}


@pytest.mark.parametrize(
    ("edit", "metric", "reasons"),
    [
        (("state.start = (state.start +", "state.start = (0 *"), "gap", {"worse"}),
        (("state.start = (state.start +", "state.start = (0 *"), "claim", {"claim-broken"}),
        (("return state.take", "raise ValueError\n        return state.take"), "cell", {"crashed"}),
    ],
)
def test_its_faults_are_found(
    check: Check, edit: tuple[str, str], metric: str, reasons: set[str]
) -> None:
    code, verdicts = check("--select", "linreg/*", edit=edit)
    found = {
        each["reason"]
        for each in verdicts
        if each["name"] == CYCLIC and each["metric"] == metric and each["verdict"] == "FAIL"
    }
    assert found == reasons
    assert code == (3 if metric == "cell" else 1)


@pytest.mark.parametrize("file", [".github/workflows/gate.yml", "README.md"])
def test_the_options_of_its_commands_exist(file: str) -> None:
    known = {flag_name(name) for name in declarations(CheckSettings)}
    lines = (EXAMPLE / file).read_text(encoding="utf-8").splitlines()
    (flags,) = (
        {word for word in line.split() if word.startswith("--")}
        for line in lines
        if "regtopk-bench check --" in line
    )
    assert {"--baseline", "--against"} <= flags <= known
