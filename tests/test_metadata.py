"""What is said of the project in several files is said alike."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = "examples/my_sparsifier"
WORKFLOW = f"{EXAMPLE}/.github/workflows/gate.yml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_to_cite_is_that_of_the_package() -> None:
    (cited,) = re.findall(r"^version: (.+)$", text("CITATION.cff"), re.MULTILINE)
    assert cited.strip("\"'") == PROJECT["version"]


@pytest.mark.parametrize("file", ["README.md", f"{EXAMPLE}/README.md", WORKFLOW])
def test_wheels_are_named_as_they_are_built(file: str) -> None:
    named = set(re.findall(r"regtopk_bench-[\w.-]+\.whl", text(file)))
    assert named == {f"regtopk_bench-{PROJECT['version']}-py3-none-any.whl"}


@pytest.mark.parametrize("file", ["README.md", WORKFLOW])
def test_a_job_installs_the_wheel_before_what_requires_it(file: str) -> None:
    steps = re.findall(r"^ +- run: (.+)$", text(file), re.MULTILINE)
    wheel, project, check = (
        next(number for number, step in enumerate(steps) if part in step)
        for part in ("PATH/TO/regtopk_bench-", "install -e .", "regtopk-bench check")
    )
    assert wheel < project < check
    assert not any("regtopk-bench" in step for step in steps if "pip install" in step)
