"""`kernels`, as its users call it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from regtopk_bench.timing import measure

Call = Callable[..., Any]
SMALL = ("-n", "70000", "-d", "0.001,0.01", "-r", "3")


def test_table_has_every_row(run: Call) -> None:
    done = run("kernels", *SMALL)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("J=70,000") == 2
    for name in ("memory limit", "numba, warm", "torch.topk", "numpy.argpartition", "k factors"):
        assert name in done.stdout
    (folder,) = Path("runs").iterdir()
    assert {file.name for file in folder.iterdir()} == {
        "result.json",
        "traces.csv",
        "throughput.png",
    }
    with (folder / "traces.csv").open() as file:
        assert len(list(csv.DictReader(file))) % 3 == 0


def test_csv_is_one_table_in_si_units(run: Call) -> None:
    done = run("kernels", *SMALL, "--no-save", "-f", "csv", "-i", "numba,torch.topk")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["density"] for row in rows} == {"0.001", "0.01"}
    warm = [row for row in rows if row["candidate"] == "numba, warm"]
    assert len(warm) == 2
    for row in warm:
        assert row["operation"] == "step"
        assert row["exact"] == "yes"
        seconds, speed = float(row["median_seconds"]), float(row["bytes_per_second"])
        assert seconds * speed == pytest.approx(12 * 70_000)
        assert float(row["gain_over_topk"]) > 0.0


def test_json_holds_pairs_and_environment(run: Call) -> None:
    done = run("kernels", *SMALL, "-f", "json", "--no-save", "--dtype", "float64", "--threads", "1")
    result = json.loads(done.stdout)
    for each in result["runs"]:
        (environment,) = each["environments"]
        assert environment["omp_wait_policy"]
        assert each["cell"]["problem"]["threads"] == 1
        assert each["cell"]["problem"]["dtype"] == "float64"
        assert len(each["traces"]["seconds"]) == len(each["traces"]["memory_limit_seconds"]) == 3
        assert each["metrics"]["memory_limit_bytes"] == 3 * 8 * 70_000


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_one_line(run: Call) -> None:
    done = run("kernels", "--device", "cuda")
    assert done.exit_code == 3
    assert done.stderr.strip().splitlines()[-1].startswith("error: PyTorch sees no CUDA device")
    assert "Traceback" not in done.stderr
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


@pytest.mark.parametrize(
    "arguments",
    [("-n", "0"), ("-d", "0"), ("-r", "2"), ("-i", "numpy.sort"), ("--distribution", "cauchy")],
)
def test_bad_values_are_refused(run: Call, arguments: tuple[str, ...]) -> None:
    done = run("kernels", *arguments)
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_size_beyond_memory_is_one_line(run: Call) -> None:
    done = run("kernels", "-n", "1e13", "--no-save")
    assert done.exit_code == 3
    assert "no memory for J = 10000000000000: give a smaller --size" in done.stderr


def test_interrupted_runs_keep_finished_cases(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*arguments, **options)

    monkeypatch.setattr("regtopk_bench.cli.kernels.measure", interrupted)
    done = run("kernels", *SMALL)
    assert done.exit_code == 130
    assert "k/J=0.001" in done.stdout
    assert "k/J=0.01," not in done.stdout
    (folder,) = Path("runs").iterdir()
    assert run("show", str(folder)).stdout == done.stdout


WITHOUT = """
import sys
sys.modules["{module}"] = None
from regtopk_bench.__main__ import main
main()
"""
"""The program where a package is not installed."""


def without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module=module), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["-i", "triton"], 3, "triton cannot be timed on cpu: it runs on cuda only, and PyTorch"),
        (["-i", "numba,cupy.argpartition"], 3, "cupy.argpartition cannot be timed on cpu"),
        (
            ["-i", "triton", "--device", "cpu"],
            2,
            "it runs on cuda only: give --device cuda, or leave",
        ),
    ],
)
def test_what_is_asked_for_by_name_and_cannot_run_is_an_error(
    run: Call, monkeypatch: pytest.MonkeyPatch, flags: list[str], code: int, told: str
) -> None:
    done = run("kernels", *SMALL, *flags)
    assert (done.exit_code, done.stdout) == (code, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("runs").exists()
    monkeypatch.setenv("REGTOPK_BENCH_IMPLEMENTATION", flags[1])
    assert run("kernels", *SMALL, *flags[2:]).exit_code == code


def test_what_runs_on_a_cpu_only_is_told_how_to_be_timed_beside_a_gpu(
    run: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    done = run("kernels", *SMALL, "-i", "numba,torch.topk,numpy.argpartition")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "error: numba cannot be timed on cuda: it runs on cpu only: give --device cpu, or leave "
        "numba out of --implementation\n"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_defaults_and_profiles_leave_out_what_cannot_run(run: Call) -> None:
    left = "left out: triton (it runs on cuda only), cupy.argpartition (it runs on cuda only)\n"
    assert left in run("kernels", *SMALL, "--no-save").stderr
    assert "left out" not in run("kernels", *SMALL, "--no-save", "-q").stderr
    Path("benchmarks.toml").write_text(
        'version = 1\n[profiles.some.kernels]\nimplementation = ["numba", "triton"]\n'
        '[profiles.none.kernels]\nimplementation = ["triton"]\n'
    )
    some = run("kernels", *SMALL, "--no-save", "--profile", "some")
    assert some.exit_code == 0
    assert "left out: triton (it runs on cuda only)\n" in some.stderr
    none = run("kernels", *SMALL, "--profile", "none")
    assert (none.exit_code, none.stdout) == (2, "")
    assert "there is nothing to time: triton cannot be timed on cpu" in none.stderr


def test_numba_by_name_without_numba_is_an_error() -> None:
    asked = without("numba", "kernels", *SMALL, "-i", "numba", "--device", "cpu", "--no-save")
    assert (asked.returncode, asked.stdout) == (2, "")
    (line,) = asked.stderr.splitlines()
    assert line == (
        "error: numba cannot be timed on cpu: the numba implementation needs Numba: "
        "pip install 'regtopk-bench[fast]'"
    )


def test_numba_is_left_out_of_the_defaults_without_numba() -> None:
    done = without("numba", "kernels", *SMALL, "--device", "cpu", "--no-save")
    assert done.returncode == 0, done.stderr
    assert "left out: numba (the numba implementation needs Numba: pip install" in done.stderr
    assert "torch.topk" in done.stdout
    assert "warm" not in done.stdout
