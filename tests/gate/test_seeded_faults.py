"""Faults in the package itself: each in a copy of it, whose check must find it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.processes import COMMAND, whole
from tests.gate.conftest import Project
from tests.gate.copies import Copy

SUITE = """
version = 1

[profiles.ci.linreg]
workers = 4
samples = 20
dim = 12
rounds = 40
algorithm = ["dense", "topk", "regtopk"]
density = [0.5]

[profiles.ci.kernels]
size = [20_000]
density = [0.01]
distribution = ["ties"]
implementation = ["reference"]
device = "cpu"
threads = 1
"""

DENSE = "linreg/dense/seed=0"
TOPK = "linreg/topk/density=0.5/seed=0"
REGTOPK = "linreg/regtopk/density=0.5/seed=0"
TIES = "kernels/step/reference/ties/J=20000/density=0.01"

Check = Callable[..., tuple[int, dict[tuple[str, str], tuple[str, str]]]]


@pytest.fixture(scope="session")
def baseline_of_the_package(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The baseline of the suite, made with the package as it is."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "benchmarks.toml").write_text(SUITE, encoding="utf-8")
    command = [*COMMAND, "baseline", "create", "-q"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "baseline.json").read_text(encoding="utf-8")


@pytest.fixture
def check(tmp_path: Path, baseline_of_the_package: str) -> Check:
    """Check a copy of the package in which a line of a file reads otherwise."""
    copy = Copy(tmp_path / "copy")
    (tmp_path / "benchmarks.toml").write_text(SUITE, encoding="utf-8")
    (tmp_path / "baseline.json").write_text(baseline_of_the_package, encoding="utf-8")

    def call(
        file: str, before: str, after: str
    ) -> tuple[int, dict[tuple[str, str], tuple[str, str]]]:
        copy.edit(file, before, after)
        done = subprocess.run(
            [*COMMAND, "check", "-f", "json", "--no-save"],
            env=os.environ | {"PYTHONPATH": str(copy.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        found = {
            (each["name"], each["metric"]): (each["verdict"], each["reason"])
            for each in json.loads(done.stdout)["verdicts"]
        }
        return done.returncode, found

    return call


def test_a_change_that_changes_nothing(check: Check) -> None:
    code, found = check("sparsify/topk.py", "Send the k largest |a|", "Send the largest k |a|")
    assert code == 0
    assert {verdict for verdict, _ in found.values()} == {"PASS"}
    assert found[TIES, "selections"] == ("PASS", "equal")


@pytest.mark.parametrize(
    ("file", "before", "after", "caught", "untouched"),
    [
        pytest.param(
            "sparsify/regtopk.py",
            "state.step(grad_NJ, last, factors_Nk)",
            "state.step(grad_NJ, None, None)",
            {(REGTOPK, "selections"): "changed"},
            {(TOPK, "selections"), (DENSE, "gap"), (TIES, "selections")},
            id="RegTop-k's factor dropped",
        ),
        pytest.param(
            "kernels/reference.py",
            "order_NJ = score_NJ.argsort(dim=1, descending=True, stable=True)",
            "order_NJ = score_NJ.argsort(dim=1, stable=True).flip(1)",
            {(TIES, "selections"): "changed"},
            {(TOPK, "selections"), (REGTOPK, "selections")},
            id="ties go to the higher index",
        ),
        pytest.param(
            "kernels/reference.py",
            "residual_NJ.scatter_(1, indices_Nk, 0.0)",
            "pass",
            {(TOPK, "conservation"): "claim-broken", (REGTOPK, "conservation"): "claim-broken"},
            {(DENSE, "gap")},
            id="residual not zeroed",
        ),
        pytest.param(
            "messages/coordinates.py",
            "min(entries * (index_bytes(dim) + value_bytes), dim * value_bytes)",
            "entries * value_bytes",
            {(TOPK, "uplink_bytes"): "changed", (REGTOPK, "uplink_bytes"): "changed"},
            {(TOPK, "gap"), (TOPK, "selections"), (DENSE, "uplink_bytes")},
            id="bytes without indices",
        ),
        pytest.param(
            "training/recipe.py",
            "return self.learning_rate * self.schedule",
            "return 1.01 * self.learning_rate * self.schedule",
            {(DENSE, "gap"): "changed"},
            {(DENSE, "uplink_bytes"), (TIES, "selections")},
            id="learning rate higher by 1 %",
        ),
    ],
)
def test_a_fault_is_found(
    check: Check,
    file: str,
    before: str,
    after: str,
    caught: dict[tuple[str, str], str],
    untouched: set[tuple[str, str]],
) -> None:
    code, found = check(file, before, after)
    assert code == 1
    assert {place: found[place] for place in caught} == {
        place: ("FAIL", reason) for place, reason in caught.items()
    }
    assert {found[place][0] for place in untouched} == {"PASS"}


KERNELS = '''
"""Kernels that take so many times as long as those of the package."""

import time

from regtopk_bench.kernels import reference

FACTOR = 1.0

select = reference.select


def step(*arguments):
    started = time.perf_counter()
    sent = reference.step(*arguments)
    until = time.perf_counter() + (FACTOR - 1.0) * (time.perf_counter() - started)
    while time.perf_counter() < until:
        pass
    return sent
'''
KERNEL = "kernels/step/kernels_of.mine, warm/ties/J=200000/density=0.01"


@pytest.mark.timeout(400)
def test_a_kernel_that_is_slower_than_in_the_other_checkout(
    project: Project, tmp_path: Path
) -> None:
    suite = SUITE.replace('"reference"', '"kernels_of.mine"').replace("20_000", "200_000")
    other = tmp_path / "other"
    other.mkdir()
    for folder, factor in ((project.folder, "1.5"), (other, "1.0")):
        (folder / "benchmarks.toml").write_text(suite, encoding="utf-8")
        code = KERNELS.replace("FACTOR = 1.0", f"FACTOR = {factor}")
        (folder / "kernels_of").mkdir()
        (folder / "kernels_of" / "mine.py").write_text(code, encoding="utf-8")
    project.baseline.unlink()
    code, found = project.found(
        *("--against", str(other), "--time", "kernels/*", "--time-budget", "300")
    )
    assert found[KERNEL, "time"] == ("FAIL", "slower")
    assert found[KERNEL, "selections"] == ("PASS", "equal")
    assert code == 1


def test_times_of_a_baseline(project: Project) -> None:
    """The baseline of the project has times of one cell: without a base, they can be gated."""
    code, found = project.found("--timing", "--time-budget", "1")
    name = "linreg/Mine/density=0.5/seed=0"
    assert found[name, "time"] == ("INCONCLUSIVE", "out-of-time")
    assert found["linreg/dense/seed=0", "time"] == ("SKIPPED", "not-timed")
    assert code == 0
    assert project.found("--timing", "--time-budget", "1", "--strict")[0] == 4


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("check", (0, 1, 2, 3, 4, 130)),
        ("compare", (0, 1, 2, 130)),
        ("doctor", (0, 2, 3, 4, 130)),
        ("baseline create", (0, 2, 3, 130)),
        ("baseline accept", (0, 2, 3, 130)),
    ],
)
def test_every_exit_code_is_in_the_help(command: str, codes: tuple[int, ...]) -> None:
    told = " ".join(whole(*command.split(), "--help").stdout.split())
    _, _, said = told.partition("Exit codes:")
    assert tuple(map(int, re.findall(r"(?:^|,) (\d+) ", said))) == codes
