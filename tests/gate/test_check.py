"""The gate as another project's CI calls it: seeded faults, verdicts, exit codes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
import venv
from pathlib import Path
from typing import Any

import pytest
import torch

from regtopk_bench.experiments.kernel_cells import KernelProblem
from regtopk_bench.timing import Timed
from tests.cli.processes import interrupt, kill, started, whole
from tests.gate.conftest import Project
from tests.gate.copies import Copy

MINE = "linreg/Mine/density=0.5/seed=0"
DENSE = "linreg/dense/seed=0"
REGTOPK = "linreg/regtopk/density=0.5/seed=0"


def test_unchanged_code_passes(project: Project) -> None:
    code, found = project.found()
    assert code == 0
    assert {verdict for verdict, _ in found.values()} == {"PASS"}
    assert found[MINE, "gap"] == ("PASS", "equal")
    assert found[MINE, "selections"] == ("PASS", "equal")
    assert found[MINE, "claim"] == ("PASS", "claim-holds")
    assert found[MINE, "conservation"] == ("PASS", "claim-holds")
    assert (MINE, "uplink_bytes") in found
    assert (MINE, "rounds_to_target") in found


@pytest.mark.parametrize(
    ("fault", "reasons", "code"),
    [
        ("keeps", {"conservation": "claim-broken", "gap": "worse"}, 1),
        ("raises", {"cell": "crashed"}, 3),
        ("dies", {"cell": "crashed"}, 3),
    ],
)
def test_faults_of_an_algorithm(
    project: Project, fault: str, reasons: dict[str, str], code: int
) -> None:
    project.breaks(fault)
    exit_code, found = project.found()
    for metric, reason in reasons.items():
        assert found[MINE, metric] == ("FAIL", reason)
    assert found[DENSE, "gap"] == ("PASS", "equal")
    assert found[REGTOPK, "gap"] == ("PASS", "equal")
    assert exit_code == code


def test_a_cell_that_hangs_is_given_up(project: Project) -> None:
    project.breaks("hangs")
    code, found = project.found("--cell-timeout", "4")
    assert found[MINE, "cell"] == ("FAIL", "timed-out")
    assert found[REGTOPK, "gap"] == ("PASS", "equal")
    assert code == 3


def test_what_a_cell_prints_is_no_data(project: Project) -> None:
    project.breaks("prints")
    assert project.found()[0] == 0


def test_a_learning_rate_that_changed(project: Project) -> None:
    project.changes("rounds = 40", "rounds = 40\nlearning_rate = 0.0101")
    done = project.check()
    found = [(each["name"], each["reason"]) for each in json.loads(done.stdout)["verdicts"]]
    assert done.returncode == 1
    assert (MINE, "new-cell") in found
    assert (MINE, "missing-cell") in found
    assert "learning_rate 0.01 instead of 0.0101" in done.stdout


def test_a_cell_that_was_removed_and_one_that_was_added(project: Project) -> None:
    project.changes('"regtopk"', '"topk"')
    code, found = project.found()
    assert code == 1
    assert found[REGTOPK, "cell"] == ("MISSING", "missing-cell")
    assert found["linreg/topk/density=0.5/seed=0", "cell"] == ("NEW", "new-cell")
    assert project.found("--allow-new")[0] == 1
    assert project.found("--allow-missing")[0] == 1
    assert project.found("--allow-new", "--allow-missing")[0] == 0


def test_another_dtype_is_named(project: Project) -> None:
    project.changes("dim = 12", 'dim = 12\ndtype = "float32"')
    done = project.check()
    assert done.returncode == 1
    assert "dtype float32 instead of float64" in done.stdout


def test_a_claim_that_is_broken(project: Project) -> None:
    project.changes("decades = -8", "decades = 8")
    code, found = project.found()
    assert code == 1
    assert found[MINE, "claim"] == ("FAIL", "claim-broken")


def test_a_claim_about_nothing_is_refused(project: Project) -> None:
    project.changes("density = 0.5\ndecades", "density = 0.6\ndecades")
    done = project.check()
    assert done.returncode == 2
    assert "a claim is about no two cells of the suite: the gap of Mine at density 0.6" in (
        " ".join(done.stderr.split())
    )
    assert done.stderr.count("\n") == 1


def edited(change: Any) -> Any:
    def edit(project: Project) -> None:
        content = json.loads(project.baseline.read_text(encoding="utf-8"))
        change(content)
        project.baseline.write_text(json.dumps(content), encoding="utf-8")

    return edit


def _nan(content: Any) -> None:
    next(iter(content["cells"].values()))["metrics"]["gap"]["value"] = float("nan")


def _null(content: Any) -> None:
    next(iter(content["cells"].values()))["metrics"]["gap"]["value"] = None


def _newer(content: Any) -> None:
    content["version"] = 99


def _another_cell(content: Any) -> None:
    next(iter(content["cells"].values()))["cell"]["seed"] = 7


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda project: project.baseline.unlink(), "there is no baseline baseline.json"),
        (lambda project: os.truncate(project.baseline, 900), "damaged or truncated at character"),
        (edited(_nan), "is not a number that JSON can hold"),
        (edited(_null), "metrics.gap.value"),
        (edited(_newer), "has version 99, this program reads version 1: upgrade it"),
        (edited(_another_cell), "has key"),
        (lambda project: project.baseline.write_text("{}"), "is not a baseline"),
    ],
)
def test_an_unusable_baseline_is_told_before_anything_runs(
    project: Project, harm: Any, message: str
) -> None:
    harm(project)
    done = project.check()
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--select", "linreg/nothing*"], 'no cell of profile "ci" is named "linreg/nothing*"'),
        (["--timing", "--time", "cifar/*"], '--time: no cell of profile "ci" is named "cifar/*"'),
        (["--profile", "paper", "--against", "nowhere"], "--against nowhere: No such file"),
        (["--against", "."], "the code would be compared with itself"),
        (["--profile", "none"], 'no profile "none"'),
        (["--margin", "1"], "--margin: 1 is not above 1"),
    ],
)
def test_unusable_arguments(project: Project, arguments: list[str], message: str) -> None:
    done = project.check(*arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert done.stderr.count("\n") == 1


def test_cells_are_listed_and_selected(project: Project) -> None:
    listed = whole("check", "--dry-run", "-f", "csv")
    assert listed.returncode == 0
    assert [line.split(",")[0] for line in listed.stdout.splitlines()[1:]] == [DENSE, MINE, REGTOPK]
    cells = json.loads(whole("check", "--dry-run", "-f", "json").stdout)
    assert [set(each) for each in cells] == [{"key", "name", "seconds", "skipped"}] * 3
    assert [(each["name"], each["skipped"]) for each in cells] == [
        (DENSE, None),
        (MINE, None),
        (REGTOPK, None),
    ]
    assert all(each["seconds"] > 0 for each in cells)
    code, found = project.found("--select", "*dense*")
    assert code == 0
    assert {name for name, _ in found} == {DENSE}


def test_a_failure_is_told_with_the_command_that_repeats_it(project: Project) -> None:
    project.breaks("keeps")
    done = whole("check", "--no-save", "--junit", "verdicts.xml")
    assert done.returncode == 1
    assert f"regtopk-bench check --profile ci --select {MINE}" in done.stdout.splitlines()
    assert "an entry lost or gained" in " ".join(done.stdout.split())
    assert "<failure" in Path("verdicts.xml").read_text(encoding="utf-8")


def test_commands_that_are_told_are_about_the_same_suite(project: Project) -> None:
    project.suite.rename("my suite.toml")
    project.breaks("keeps")
    suite, flags = ("--config", "my suite.toml"), ("--cell-timeout", "99", "--no-save")
    told = f"check --profile ci --config 'my suite.toml' --cell-timeout 99.0 --select {MINE}"
    done = whole("check", *suite, *flags)
    assert done.returncode == 1, done.stderr
    assert f"regtopk-bench {told}" in done.stdout.splitlines()
    assert whole(*shlex.split(told)).returncode == 1
    without = whole("check", *suite, "-b", "other.json")
    assert without.returncode == 2
    create = "baseline create --config 'my suite.toml' --baseline other.json"
    assert f"make one with `regtopk-bench {create}`, or" in without.stderr
    there = whole("baseline", "create", *suite, "--time", "*Mine*", "-p", "3", "-m", "again")
    assert there.returncode == 2
    accept = "baseline accept --config 'my suite.toml' --time '*Mine*' --processes 3"
    assert f'change it with `regtopk-bench {accept} --reason "…"`' in there.stderr


def test_against_another_checkout(project: Project, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other")
    project.baseline.unlink()
    project.breaks("keeps")
    budget = ("--time", "*Mine*", "--time-budget", "1")
    code, found = project.found("--against", str(other.folder), *budget)
    assert code == 1
    assert found[MINE, "gap"] == ("FAIL", "worse")
    assert found[DENSE, "gap"] == ("PASS", "equal")
    assert found[MINE, "time"] == ("INCONCLUSIVE", "out-of-time")


def _without_claims(project: Project, algorithms: str) -> None:
    suite, _, _ = project.suite.read_text(encoding="utf-8").partition("[[profiles.ci.claims]]")
    project.suite.write_text(suite, encoding="utf-8")
    project.changes('"dense", "mine.Mine", "regtopk"', algorithms)


def test_against_a_checkout_without_a_hyper_parameter_or_an_algorithm(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other")
    project.baseline.unlink()
    code = project.code.read_text(encoding="utf-8")
    assert '    """Top-k."""\n' in code
    code = code.replace('    """Top-k."""\n', '    """Top-k."""\n\n    beta: float = 1.0\n')
    project.code.write_text(code, encoding="utf-8")
    _without_claims(project, '"dense", "mine.Mine:beta=2"')
    against = ("--against", str(other.folder), "--time", "*dense*", "--time-budget", "1")
    done = project.check(*against)
    assert done.returncode == 1, done.stderr
    assert "the base does not have mine.Mine:beta=2: its cells are new" in done.stderr
    found = {(each["name"], each["metric"]): each for each in json.loads(done.stdout)["verdicts"]}
    assert found[MINE, "cell"]["reason"] == "new-cell"
    assert found[DENSE, "gap"]["verdict"] == "PASS"
    other.code.unlink()
    project.changes('"dense", ', "")
    code, verdicts = project.found("--against", str(other.folder), "--time-budget", "1")
    assert verdicts[MINE, "cell"] == ("NEW", "new-cell")
    assert code == 1


def test_against_a_checkout_without_a_kernel_or_a_setting(project: Project, tmp_path: Path) -> None:
    """What a version does not have is left out there, and the rest is compared."""
    copy = Copy(tmp_path / "copy")
    copy.edit("settings/problem.py", "    noise_variance: ", "    noise: ")
    kernels = project.folder / "own"
    kernels.mkdir()
    (kernels / "__init__.py").touch()
    (kernels / "fast.py").write_text("from regtopk_bench.kernels.reference import *\n", "utf-8")
    project.baseline.unlink()
    _without_claims(project, '"dense"')
    with project.suite.open("a", encoding="utf-8") as file:
        file.write(
            '[profiles.ci.kernels]\nsize = [1000]\nimplementation = ["own.fast"]\n'
            'density = [0.1]\ndistribution = ["ties"]\ndevice = "cpu"\nthreads = 1\n'
        )
    time_little = ("--time", "*dense*", "--time-budget", "1")
    done = project.check("--against", str(copy.folder), *time_little)
    assert done.returncode == 1, done.stderr
    assert "the base does not have own.fast: its cells are new" in done.stderr
    found = {(each["name"], each["metric"]): each for each in json.loads(done.stdout)["verdicts"]}
    assert found[DENSE, "gap"]["verdict"] == "PASS"
    assert found["kernels/step/own.fast, warm/ties/J=1000/density=0.1", "cell"]["verdict"] == "NEW"


def test_a_base_that_cannot_be_started_is_named(project: Project, tmp_path: Path) -> None:
    package = tmp_path / "broken" / "regtopk_bench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('half a checkout')\n", "utf-8")
    done = project.check("--against", str(package.parent))
    assert done.returncode == 3
    assert "the suite of base cannot be made" in done.stderr
    assert "half a checkout" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_environment_without_the_package_is_named(project: Project, tmp_path: Path) -> None:
    environment = tmp_path / "elsewhere"
    venv.create(environment, symlinks=True)
    done = project.check("--against", str(environment))
    assert done.returncode == 2
    assert f"base in {environment} has no gate, or lacks a package" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_suite_without_cells_is_no_success(project: Project) -> None:
    text = '[profiles.ci.kernels]\nsize = [1000]\nimplementation = ["numpy.argpartition"]\n'
    project.suite.write_text(f"version = 1\n{text}", encoding="utf-8")
    project.baseline.write_text(
        json.dumps(json.loads(project.baseline.read_text()) | {"cells": {}}), encoding="utf-8"
    )
    done = project.check()
    assert done.returncode == 2
    assert 'profile "ci" has no cell that could be run here' in done.stderr


def test_each_run_that_is_timed_may_take_what_a_cell_may_take(project: Project) -> None:
    project.breaks("dawdles")  # for a second and more in each run
    code, found = project.found("--timing", "--time-budget", "1", "--cell-timeout", "3")
    assert found[MINE, "time"] == ("INCONCLUSIVE", "out-of-time")
    assert code == 0
    project.baseline.unlink()
    done = whole("baseline", "create", "--cell-timeout", "3")  # runs it three times
    assert done.returncode == 0, done.stderr


def test_a_cell_that_dies_while_it_is_timed_is_no_success(project: Project) -> None:
    project.breaks("tires")
    code, found = project.found("--timing")
    assert found[MINE, "time"] == ("FAIL", "crashed")
    assert found[MINE, "gap"] == ("PASS", "equal")
    assert code == 3


def test_a_check_of_another_profile_is_resumed_with_it(project: Project) -> None:
    text = project.suite.read_text(encoding="utf-8")
    project.suite.write_text(text.replace("profiles.ci", "profiles.mine"), encoding="utf-8")
    assert whole("check", "--profile", "mine", "-q").returncode == 0
    (folder,) = Path("runs").iterdir()
    done = whole("check", "-v", "-f", "json", "--resume", str(folder))
    assert done.returncode == 0, done.stderr
    assert MINE not in done.stderr  # it had been run
    assert json.loads(done.stdout)["settings"]["profile"]["value"] == "mine"


@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_an_interrupted_check_goes_on_where_it_was(project: Project, how: str) -> None:
    project.breaks("hangs")
    suite: tuple[str, ...] = ()
    if how == "interrupted":
        project.suite.rename("my suite.toml")
        suite = ("--config", "my suite.toml")
    with started("check", "-f", "json", *suite) as process:
        journal = _wait_for(process, DENSE)
        if how == "interrupted":
            code, _, stderr = interrupt(process)
            assert code == 130
            told = f"to resume: regtopk-bench check --resume {journal.parent}"
            assert f"{told} --config 'my suite.toml'\n" in stderr
        else:
            kill(process)
    before = journal.read_bytes()
    assert before.count(b'"run"') == 1
    project.breaks("none")
    done = whole("check", "-f", "json", "-v", "--resume", str(journal.parent), *suite)
    assert done.returncode == 0, done.stderr
    assert DENSE not in done.stderr
    assert MINE in done.stderr
    assert {each["verdict"] for each in json.loads(done.stdout)["verdicts"]} == {"PASS"}


def _wait_for(process: Any, cell: str) -> Path:
    deadline = time.monotonic() + 90
    while True:
        assert time.monotonic() < deadline
        assert process.poll() is None
        for journal in Path().glob("runs/*_check/journal.jsonl"):
            if b'"run"' in journal.read_bytes():
                return journal
        time.sleep(0.05)


def test_nothing_is_left_of_an_interrupted_check(project: Project) -> None:
    project.breaks("hangs")
    with started("check", "--no-save") as process:
        deadline = time.monotonic() + 60
        while not (children := _children(process.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1.0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_accepting_a_change(project: Project) -> None:
    project.changes('"regtopk"', '"topk"')
    assert project.found()[0] == 1
    refused = whole("baseline", "accept")
    assert refused.returncode == 2
    assert "--reason" in refused.stderr
    done = whole("baseline", "accept", "--reason", "another rival", "-f", "csv")
    assert done.returncode == 0, done.stderr
    assert "linreg/topk/density=0.5/seed=0" in done.stdout
    assert project.found()[0] == 0
    shown = whole("baseline", "show")
    assert "another rival" in shown.stdout
    document = whole("baseline", "show", "-f", "json").stdout
    assert document == project.baseline.read_text(encoding="utf-8")
    same = whole("baseline", "accept", "--reason", "once more", "-f", "json")
    assert json.loads(same.stdout) == []
    again = whole("baseline", "create")
    assert again.returncode == 2
    assert "there is a baseline baseline.json already" in again.stderr


def test_a_part_of_a_baseline_of_another_machine_is_not_replaced(project: Project) -> None:
    edited(lambda content: content["environment"].update(torch="1.0"))(project)
    before = project.baseline.read_bytes()
    done = whole("baseline", "accept", "-m", "a part", "--select", "*Mine*")
    assert done.returncode == 2
    assert "torch was 1.0 and is" in done.stderr
    assert "accept the whole suite" in done.stderr
    assert project.baseline.read_bytes() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_what_is_accepted_keeps_neither_times_of_another_machine_nor_loses_skipped_cells(
    project: Project,
) -> None:
    on_gpu = KernelProblem("ties", 1000, 0.1, "float32", "cuda").cell(Timed("step", "reference"))

    def cuda_cell(content: Any) -> None:
        cell = {"name": "on a GPU", "cell": on_gpu.model_dump(), "metrics": {}}
        content["cells"][on_gpu.key] = cell

    def times(content: Any) -> list[list[float]]:
        return [cell["log_ratios"] for cell in content["cells"].values() if cell.get("log_ratios")]

    edited(cuda_cell)(project)
    with project.suite.open("a", encoding="utf-8") as file:
        file.write(
            '[profiles.ci.kernels]\nsize = [1000]\ndensity = [0.1]\ndistribution = ["ties"]\n'
            'implementation = ["reference"]\ndevice = "cuda"\n'
        )
    done = whole("baseline", "accept", "-m", "the same again", "-f", "csv")
    assert done.returncode == 0, done.stderr
    content = json.loads(project.baseline.read_text(encoding="utf-8"))
    assert "missing" not in done.stdout.lower()
    assert (on_gpu.key in content["cells"], len(times(content))) == (True, 1)
    edited(lambda content: content["environment"].update(cpu_count=99))(project)
    assert whole("baseline", "accept", "-m", "other machine").returncode == 0
    content = json.loads(project.baseline.read_text(encoding="utf-8"))
    assert (on_gpu.key in content["cells"], len(times(content))) == (True, 0)


def test_a_baseline_has_no_failed_cells(project: Project) -> None:
    project.baseline.unlink()
    project.breaks("raises")
    done = whole("baseline", "create")
    assert done.returncode == 3
    assert "a fault of two lines" in done.stderr
    assert not project.baseline.exists()


def test_saved_results_are_compared_without_running(project: Project) -> None:
    for rounds in ("40", "41"):
        assert whole("linreg", "-r", rounds, "-n", "4", "--dim", "9", "-q").returncode == 0
    first, second = sorted(map(str, Path("runs").iterdir()))
    same = whole("compare", first, first)
    assert same.returncode == 0
    assert "PASS" in same.stdout
    assert "FAIL" not in same.stdout
    other = whole("compare", first, second, "-f", "json")
    assert other.returncode == 1
    assert "rounds 41 instead of 40" in other.stdout or "rounds 40 instead of 41" in other.stdout
    assert whole("compare", first, second, "--allow-new", "--allow-missing").returncode == 0
    assert whole("compare", first, "nowhere").returncode == 2


def test_what_has_converged_passes_on_another_kind_of_processor(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such training forgets a nudge at its start, but what it ends with is rounding."""
    project.changes("rounds = 40", "rounds = 3000")
    project.changes("decades = -8", "decades = -30")
    project.baseline.unlink()
    assert whole("baseline", "create", "-q").returncode == 0
    before = json.loads(project.baseline.read_text(encoding="utf-8"))
    gaps = [each["metrics"]["gap"] for each in before["cells"].values()]
    assert any(gap["value"] < 1e-20 and gap["tolerance"] > 1e-4 * gap["value"] for gap in gaps)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    code, found = project.found()
    failed = {place: why for place, why in found.items() if why[0] not in ("PASS", "SKIPPED")}
    assert not failed
    assert code == 0
