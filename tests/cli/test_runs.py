"""`runs`, and "latest" in place of a run."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench.results import store
from tests.cli import outside
from tests.cli.processes import interrupt, kill, started, wait_for_checkpoints, whole
from tests.results.samples import check, image_run, result, timed, verdict
from tests.results.samples import run as sample

Call = Callable[..., Any]

SLOW = (
    "linreg",
    "-n",
    "2",
    "--samples",
    "9",
    "--dim",
    "5",
    "-a",
    outside.NAME,
    "-d",
    "0.4",
    "-p",
    "1",
)


@pytest.fixture
def _slow_algorithm(tmp_path: Path) -> Iterator[None]:
    outside.bring(tmp_path)
    yield
    outside.forget()


def save(name: str, day: int, command: str = "linreg", **settings: Any) -> Path:
    """Save a result that was begun on some day of January 2026."""
    runs = {"linreg": [sample(seed=seed) for seed in (0, 1)], "cifar": [image_run()]}
    made = result(runs.get(command, [timed()]), command, **settings)
    folder = Path("runs", name)
    folder.mkdir(parents=True)
    created = f"2026-01-{day:02d}T12:00:00+00:00"
    store.write(made.model_copy(update={"created": created}), folder)
    return folder


def listed(run: Call, *arguments: str) -> list[dict[str, Any]]:
    done = run("runs", "-f", "json", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_runs_are_listed_newest_first(run: Call) -> None:
    save("a", 2)
    save("b", 3, "cifar")
    save("c", 1, "kernels")
    Path("runs", "mine").mkdir()
    Path("runs", "notes.txt").write_text("of mine")
    found = listed(run)
    assert [(each["folder"], each["command"], each["cells"]) for each in found] == [
        ("runs/b", "cifar", 1),
        ("runs/a", "linreg", 2),
        ("runs/c", "kernels", 1),
    ]
    assert {each["status"] for each in found} == {"finished"}
    assert found[0]["created"] == "2026-01-03T12:00:00+00:00"
    sizes = [sum(file.stat().st_size for file in Path("runs", name).iterdir()) for name in "bac"]
    assert [each["bytes"] for each in found] == sizes
    rows = list(csv.DictReader(io.StringIO(run("runs", "-f", "csv").stdout)))
    assert [(row["folder"], row["bytes"]) for row in rows] == [
        (each["folder"], str(each["bytes"])) for each in found
    ]
    assert run("runs", "-f", "markdown").stdout.count("| runs/") == 3
    assert run("runs", "-f", "latex").stdout.count("& linreg &") == 1


def test_the_table_fits_80_columns(run: Call) -> None:
    save("2026-11-22_14-33-13_linreg", 2)
    save("2026-11-22_14-33-13_kernels_1", 2, "kernels")
    text = run("runs").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "runs/2026-11-22_14-33-13_linreg" in text
    assert text.startswith("2 runs in runs\n")


def test_a_damaged_run_has_a_row_that_says_so(run: Call) -> None:
    save("fine", 2)
    for name, text in {
        "cut": store.dump(result([sample()]))[:-9],
        "strange": "{}",
        "newer": store.dump(result([sample()])).replace('"version": 2', '"version": 9', 1),
        "odd": store.dump(result([sample()], rounds="many")),
    }.items():
        Path("runs", name).mkdir()
        Path("runs", name, "result.json").write_text(text)
    Path("runs", "pipe").mkdir()
    os.mkfifo("runs/pipe/result.json")
    found = {each["folder"]: each for each in listed(run)}
    assert found.pop("runs/fine")["status"] == "finished"
    assert len(found) == 5
    for folder, each in found.items():
        assert each["status"] == "damaged"
        assert folder in each["error"]
        assert each["command"] is each["created"] is each["cells"] is None
    text = " ".join(run("runs").stdout.split())
    assert "result runs/cut/result.json is damaged or truncated at character" in text
    assert "has version 9, this program reads version 2: upgrade it" in text


def test_how_runs_ended(run: Call) -> None:
    folder = save("some", 2)
    runs = [sample(), sample("regtopk", status="diverged"), sample("dense", status="stopped")]
    store.write(result(runs), folder)
    assert listed(run)[0]["status"] == "1 diverged, 1 stopped"
    store.write(result([timed()], "kernels", size=[10], density=[0.1, 0.2]), folder)
    assert listed(run)[0]["status"] == "interrupted"
    store.write(check([verdict("FAIL", "worse")]), folder)
    assert listed(run)[0]["status"] == "failed"


def test_where_nothing_is_saved(run: Call) -> None:
    assert listed(run) == []
    assert run("runs").stdout.startswith("0 runs in runs\n")
    absent = run("runs", "-o", "nowhere")
    assert absent.exit_code == 2
    assert absent.stderr == "error: cannot read nowhere: No such file or directory\n"
    Path("there").mkdir()
    assert run("runs", "-o", "there").stdout.startswith("0 runs in there\n")
    done = run("show", "latest")
    assert (done.exit_code, done.stderr) == (2, "error: there is no run in runs yet\n")


@pytest.mark.parametrize("how", ["variable", "file"])
def test_a_folder_that_the_first_run_will_make_has_no_runs(
    run: Call, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "variable":
        monkeypatch.setenv("REGTOPK_BENCH_OUTPUT", "there")
    else:
        Path("benchmarks.toml").write_text('version = 1\n[defaults]\noutput = "there"\n')
    assert listed(run) == []
    done = run("show", "latest")
    assert (done.exit_code, done.stderr) == (2, "error: there is no run in there yet\n")
    Path("there").touch()
    assert "cannot read there: Not a directory" in run("runs").stderr


def test_the_folder_is_a_setting(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    save("a", 2)
    Path("runs").rename("there")
    assert listed(run, "-o", "there")[0]["folder"] == "there/a"
    monkeypatch.setenv("REGTOPK_BENCH_OUTPUT", "there")
    assert listed(run)[0]["folder"] == "there/a"
    assert "topk" in run("show", "latest", "--no-plot").stdout
    monkeypatch.delenv("REGTOPK_BENCH_OUTPUT")
    Path("benchmarks.toml").write_text('version = 1\n[defaults]\noutput = "there"\n')
    assert listed(run)[0]["folder"] == "there/a"
    assert "topk" in run("show", "latest", "--no-plot").stdout


def test_latest_is_the_newest(run: Call) -> None:
    save("a", 3, workers=2)
    save("b", 2, "kernels")
    shown = run("show", "latest", "-f", "json", "--no-plot")
    assert json.loads(shown.stdout)["command"] == "linreg"
    assert run("show", "latest").stderr == "drew runs/a/convergence.png\n"
    assert run("compare", "latest", "latest").exit_code == 0
    Path("runs", "b").rename("latest")
    named = run("show", "latest", "-f", "json", "--no-plot")
    assert json.loads(named.stdout)["command"] == "kernels"


@pytest.mark.usefixtures("_slow_algorithm")
def test_a_run_is_told_to_be_running_and_then_interrupted() -> None:
    def status() -> str:
        (found,) = json.loads(whole("runs", "-f", "json").stdout)
        return str(found["status"])

    with started(*SLOW, "--checkpoint-every", "3", **outside.slow(0.05)) as process:
        wait_for_checkpoints(process)
        assert status() == "running"
        assert "no run has ended" in whole("show", "latest").stdout
        kill(process)
    assert status() == "interrupted"


@pytest.mark.usefixtures("_slow_algorithm")
@pytest.mark.parametrize("there", [False, True])
def test_what_is_interrupted_before_its_first_round_leaves_nothing(there: bool) -> None:
    if there:
        Path("a", "runs").mkdir(parents=True)
    with started(*SLOW, "-o", "a/runs", **outside.slow(600.0)) as process:
        deadline = time.monotonic() + 60
        while not any("started" in each.read_text() for each in Path().glob("a/runs/*/*.jsonl")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        code, stdout, stderr = interrupt(process)
    assert (code, stdout) == (130, "")
    assert "resume" not in stderr
    assert Path("a").exists() == there
    assert not there or not list(Path("a/runs").iterdir())


@pytest.mark.parametrize(
    "command", ["runs", "cache", "show latest --no-plot", "show runs/a runs/b"]
)
def test_what_reads_only_does_not_import_torch(command: str) -> None:
    save("a", 2)
    save("b", 3)
    code = (
        "import sys; from regtopk_bench.cli.main import app\n"
        f"app({command.split()!r}, standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        env=os.environ | {"HOME": str(Path.cwd())},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
