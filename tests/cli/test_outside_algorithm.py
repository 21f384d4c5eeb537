"""An algorithm outside the package is at home everywhere that a built-in one is."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from tests.cli import outside
from tests.cli.outside import NAME
from tests.cli.processes import (
    interrupt,
    kill,
    outcomes,
    started,
    wait_for_checkpoints,
    whole,
)

Call = Callable[..., Any]

ALONE = ["--processes", "1"]
BOTH = ["-a", f"{NAME}:beta=0.25", "-a", "topk", "-d", "0.1"]
LINREG = ["linreg", *BOTH, "-n", "4", "--samples", "30", "--dim", "20", "-r", "60", "-f", "json"]
CIFAR = ["cifar", *BOTH, "--dataset", "synthetic", "--image-size", "8", "-n", "3", "-b", "4"]
CIFAR += ["-r", "8", "--evaluate-every", "4", "-f", "json"]


@pytest.fixture(autouse=True)
def module(tmp_path: Path) -> Iterator[Path]:
    """A module in the working directory, which is where every test runs."""
    yield outside.bring(tmp_path)
    outside.forget("other")


def mine(text: str) -> dict[str, Any]:
    (found,) = (run for run in outcomes(text) if run["cell"]["sparsifier"]["algorithm"] == NAME)
    return found


@pytest.mark.parametrize("command", [LINREG, CIFAR], ids=lambda command: command[0])
def test_one_and_two_processes_give_the_same_numbers(run: Call, command: list[str]) -> None:
    one = run(*command, *ALONE)
    assert one.exit_code == 0, one.stderr
    two = whole(*command, "--processes", "2")
    assert two.returncode == 0, two.stderr
    assert outcomes(two.stdout) == outcomes(one.stdout)
    assert {each["execution"]["processes"] for each in json.loads(two.stdout)["runs"]} == {2}


def test_its_messages_and_hyper_parameters_are_stored(run: Call) -> None:
    stored = mine(run(*LINREG, *ALONE).stdout)
    (folder,) = Path("runs").iterdir()
    assert mine((folder / "result.json").read_text()) == stored
    facts = {"algorithm": NAME, "beta": 0.25, "rest": 3, "unit": "largest"}
    assert stored["cell"]["sparsifier"] == facts
    sent = stored["traces"]["uplink_bytes"]
    assert len(set(sent)) > 3  # of 12 bytes an entry, of different numbers of them
    assert all(0 < bytes_sent < 4 * 20 * 8 and bytes_sent % 12 == 0 for bytes_sent in sent)
    assert stored["traces"]["gap"][-1] < 0.5 * stored["traces"]["gap"][0]


def test_cells_that_differ_in_a_hyper_parameter_are_two(run: Call) -> None:
    values = ["-a", f"{NAME}:beta=0.25", "-a", f"{NAME}:beta=0.75"]
    done = run("linreg", *LINREG[-10:], *values, *ALONE)
    first, second = outcomes(done.stdout)
    assert first["cell"]["sparsifier"]["beta"] == 0.25
    assert second["cell"]["sparsifier"]["beta"] == 0.75
    assert first["traces"] != second["traces"]


def test_it_runs_among_several_jobs(run: Call) -> None:
    jobs = whole(*LINREG, "--seeds", "0-1", "--jobs", "2")
    assert jobs.returncode == 0, jobs.stderr
    assert outcomes(jobs.stdout) == outcomes(run(*LINREG, "--seeds", "0-1", *ALONE).stdout)


@pytest.mark.parametrize("how", ["Ctrl-C", "kill -9"])
def test_an_interrupted_run_is_resumed_to_the_same_runs(run: Call, how: str) -> None:
    undisturbed = outcomes(run(*LINREG, *ALONE, "--no-save").stdout)
    with started(*LINREG, *ALONE, "--checkpoint-every", "4", **outside.slow(0.2)) as process:
        folder = wait_for_checkpoints(process)
        if how == "Ctrl-C":
            code, stdout, stderr = interrupt(process)
            assert code == 130
            assert f"to resume: regtopk-bench linreg --resume {folder}" in stderr
            assert [each["status"] for each in outcomes(stdout)] == ["stopped"]
        else:
            kill(process)
            assert not (folder / "result.json").exists()
    resumed = run("linreg", "--resume", str(folder), *ALONE, "-f", "json")
    assert resumed.exit_code == 0, resumed.stderr
    assert outcomes(resumed.stdout) == undisturbed
    assert sorted(path.name for path in folder.iterdir()) == [
        "convergence.png",
        "result.json",
        "traces.csv",
    ]


def test_on_images_it_is_resumed_plotted_and_shown(run: Call) -> None:
    undisturbed = outcomes(run(*CIFAR, *ALONE, "--no-save").stdout)
    jobs = whole(*CIFAR, "--jobs", "2", "--no-save")
    assert outcomes(jobs.stdout) == undisturbed, jobs.stderr
    with started(*CIFAR, *ALONE, "--checkpoint-every", "2", **outside.slow(0.5)) as process:
        folder = wait_for_checkpoints(process)
        code, stdout, _ = interrupt(process)
    assert code == 130
    assert [each["status"] for each in outcomes(stdout)] == ["stopped"]
    resumed = run("cifar", "--resume", str(folder), *ALONE, "-f", "json")
    assert resumed.exit_code == 0, resumed.stderr
    assert outcomes(resumed.stdout) == undisturbed
    assert matplotlib.image.imread(folder / "accuracy.png").std() > 0.05  # not blank
    assert "Threshold: beta=0.25, rest=3" in run("show", str(folder), "--no-plot").stdout


def test_it_is_plotted_and_shown_where_it_cannot_be_imported_any_more(
    run: Call, module: Path
) -> None:
    assert run(*LINREG, *ALONE, "--seeds", "0-1").exit_code == 0
    (folder,) = Path("runs").iterdir()
    plot = folder / "convergence.png"
    drawn = matplotlib.image.imread(plot)
    assert drawn.std() > 0.05  # not blank
    plot.unlink()
    module.unlink()
    outside.forget()
    for output_format in ("table", "csv", "markdown", "latex", "json"):
        done = run("show", str(folder), "-f", output_format)
        assert done.exit_code == 0, done.stderr
        assert "Threshold" in done.stdout
    assert "Threshold: beta=0.25, rest=3" in run("show", str(folder)).stdout
    assert (matplotlib.image.imread(plot) == drawn).all()
    assert "outside_threshold" not in sys.modules
    rows = list(csv.DictReader(io.StringIO(run("show", str(folder), "-f", "csv").stdout)))
    assert sum("Threshold" in row["algorithm"] for row in rows) == 1
    resumed = run("linreg", "--resume", str(folder))
    assert resumed.exit_code == 2
    assert "No module named 'outside_threshold'" in resumed.stderr


def test_an_entry_point_gives_it_a_short_name(
    run: Call, tmp_path: Path, module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_name = mine(run(*LINREG, *ALONE, "--no-save").stdout)
    site = tmp_path / "site"
    information = site / "threshold-1.0.dist-info"
    information.mkdir(parents=True)
    module.rename(site / module.name)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: threshold\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[regtopk_bench.algorithms]\nthreshold = outside_threshold:Threshold\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    short = ["threshold:beta=0.25" if part.startswith(NAME) else part for part in LINREG]
    done = whole(*short, *ALONE)
    assert done.returncode == 0, done.stderr
    (named, _) = outcomes(done.stdout)
    assert named["cell"]["sparsifier"]["algorithm"] == "threshold"
    assert named["traces"] == long_name["traces"]
    misspelt = whole("linreg", "-a", "treshold")
    assert misspelt.returncode == 2
    assert 'unknown value "treshold"; did you mean "threshold"?' in misspelt.stderr


BAD = {
    "unknown parameter": (
        f"{NAME}:gamma=1",
        f'{NAME} has no parameter "gamma"; it has: beta, rest, unit',
    ),
    "not a number": (f"{NAME}:beta=high", f'{NAME}: beta "high" is not a number'),
    "not whole": (f"{NAME}:rest=1.5", f'{NAME}: rest "1.5" is not a whole number'),
    "not a choice": (
        f"{NAME}:unit=least",
        f'{NAME}: unit "least" is unknown; did you mean "largest"?',
    ),
    "out of range": (f"{NAME}:beta=2", f"{NAME}: beta 2.0 is not in [0, 1)"),
    "missing class": ("outside_threshold.Treshold", "outside_threshold has no Treshold"),
    "missing module": ("nowhere.Mine", "No module named 'nowhere'; install its package"),
    "broken module": ("broken.Mine", "cannot be imported: OSError: no licence: buy one"),
    "no syntax": ("unfinished.Mine", "cannot be imported: SyntaxError"),
    "no sparsifier": ("other.Other", '"other.Other" is not a dataclass derived from'),
    "built-in, out of range": ("regtopk:mu=-1", "regtopk: mu -1.0 is not a finite number above 0"),
    "built-in, no value": ("regtopk:mu", '"mu" in "regtopk:mu" is not of the form'),
    "built-in, unknown parameter": ("dense:k=1", 'dense has no parameter "k"; it has: none'),
    "built-in, misspelt": ("topkk", 'unknown value "topkk"; did you mean "topk"?'),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_one_line(case: str, run: Call) -> None:
    Path("broken.py").write_text("raise OSError('no licence:\\nbuy one')\n")
    Path("unfinished.py").write_text("x = (\n")
    Path("other.py").write_text("class Other:\n    pass\n")
    given, message = BAD[case]
    done = run("linreg", "-a", given, "-r", "3")
    assert done.exit_code == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not Path("runs").exists()
