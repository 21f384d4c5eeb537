from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]

PROBLEM = ["--workers", "4", "--samples", "60", "--dim", "20", "--processes", "1"]
SMALL = [*PROBLEM, "--rounds", "120"]


def test_the_table_fits_80_columns_and_marks_the_best(run: Call) -> None:
    done = run("linreg", *PROBLEM, "--rounds", "1500", "--seeds", "0-2")
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "N=4 workers, D=60 samples, J=20" in done.stdout
    assert "randomk * " in done.stdout
    assert "At density 0.4 Random-k (log10 gap " in done.stdout
    assert "At density 0.6 no difference between Random-k (log10 gap " in done.stdout
    assert "paired by seed" in done.stdout
    assert "±" in done.stdout
    for name in ("dense", "topk", "regtopk", "randomk", "oracle"):
        assert name in done.stdout


def test_a_run_saves_result_traces_and_plot(run: Call) -> None:
    done = run("linreg", *SMALL, "--plot-format", "svg")
    (folder,) = Path("runs").iterdir()
    assert f"saved {folder}" in done.stderr
    assert sorted(file.name for file in folder.iterdir()) == [
        "convergence.svg",
        "result.json",
        "traces.csv",
    ]
    assert "saved" not in done.stdout


def test_json_is_the_saved_document_and_nothing_else(run: Call) -> None:
    done = run(
        "linreg", *SMALL, "--format", "json", "--density", "0.5", "-a", "topk", "-a", "dense"
    )
    content = json.loads(done.stdout)
    (folder,) = Path("runs").iterdir()
    assert content == json.loads((folder / "result.json").read_text())
    assert content["settings"]["density"] == {"value": [0.5], "source": "flag"}
    names = [one["cell"]["sparsifier"]["algorithm"] for one in content["runs"]]
    assert names == ["dense", "topk"]
    topk = content["runs"][1]
    assert len(topk["traces"]["gap"]) == 120
    assert topk["metrics"]["uplink_bytes"] == 120 * 4 * 10 * (4 + 8)
    (environment,) = topk["environments"]
    assert environment["torch"]


@pytest.mark.parametrize("output_format", ["csv", "markdown", "latex"])
def test_other_formats(run: Call, output_format: str) -> None:
    done = run("linreg", *SMALL, "-f", output_format, "--no-save", "--quiet")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert not Path("runs").exists()
    if output_format == "csv":
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert [row["algorithm"] for row in rows] == [
            "dense",
            *["topk", "regtopk", "randomk", "oracle"] * 2,
        ]
        assert float(rows[0]["sent_bytes_per_worker_round"]) == 20 * 8


def test_the_same_seed_gives_the_same_file_but_for_times(run: Call) -> None:
    def document() -> Any:
        content = json.loads(run("linreg", *SMALL, "-f", "json", "--no-save").stdout)
        for one in content["runs"]:
            del one["execution"], one["environments"]
        del content["created"]
        return content

    assert document() == document()


def test_k_takes_the_place_of_density(run: Call) -> None:
    done = run("linreg", *SMALL, "-k", "7", "-a", "topk", "-f", "csv", "--no-save")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert float(row["density"]) == 0.35
    assert float(row["sent_bytes_per_worker_round"]) == 7 * 12


def test_every_algorithm_runs(run: Call) -> None:
    names = ["dense", "topk", "regtopk", "randomk", "oracle"]
    flags = [part for name in names for part in ("-a", name)]
    done = run(
        "linreg", *SMALL, *flags, "-d", "0.5", "-f", "csv", "--no-save", "--dtype", "float32"
    )
    assert [row["algorithm"] for row in csv.DictReader(io.StringIO(done.stdout))] == names


def test_verbose_describes_each_run(run: Call) -> None:
    done = run("linreg", *SMALL, "-a", "topk", "-d", "0.5", "--no-save", "--verbose")
    assert "topk density 0.5 seed 0: finished, 120 rounds" in done.stderr
    assert "processes 1" in done.stderr


def test_divergence_is_reported_and_saved(run: Call) -> None:
    done = run(
        "linreg", *PROBLEM, "--rounds", "3000", "-l", "10", "-d", "0.5", "-a", "topk", "-a", "dense"
    )
    assert done.exit_code == 3
    assert "dense seed 0: non-finite gradient at worker" in done.stderr
    assert "(and 1 more of 2 runs failed)" in done.stderr.replace("\n", " ")
    assert "diverged @" in done.stdout
    (folder,) = Path("runs").iterdir()
    content = json.loads((folder / "result.json").read_text())
    assert [one["status"] for one in content["runs"]] == ["diverged", "diverged"]
    assert len(content["runs"][0]["traces"]["gap"]) > 10
    assert (folder / "convergence.png").stat().st_size > 1000


def test_no_rounds_give_an_empty_table(run: Call) -> None:
    done = run("linreg", *PROBLEM, "--rounds", "0")
    assert done.exit_code == 0, done.output
    assert "topk" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--density", "0"], "--density: 0 is not in (0, 1]"),
        (["--density", "1.5"], "--density: 1.5 is not in (0, 1]"),
        (["--density", "nan"], "--density: nan is not in (0, 1]"),
        (["-k", "101"], "k 101 exceeds dim 100"),
        (["--rounds=-1"], "--rounds: -1 is below 0"),
        (["-a", "topkk"], 'did you mean "topk"?'),
        (["--format", "xml"], "--format: unknown value"),
        (["--profile", "mine"], "no benchmarks.toml in this folder, and no profile"),
        (["--config", "absent.toml"], "cannot read absent.toml"),
        (["--output", "file/runs"], "cannot write to file/runs"),
        (["--workers", "100000000"], "GiB"),
        (["--rounds", "99999999999"], "the traces of 899999999991 rounds in 9 runs take"),
        (["--learning-rate", "1e400"], "--learning-rate: '1e400' is not a finite number"),
        (["--seeds", "9223372036854775808"], "is beyond 9223372036854775807, the largest seed"),
        (["--jobs", "1000000000"], "--jobs: 1000000000 is above 1024"),
        (["--output", "~no-such-user/x"], "there is no such home folder"),
        (["-d", "0.5", "-k", "3"], "--density (flag) with --k (flag), which takes its place"),
        (["-a", "."], '--algorithm: unknown value "."'),
        (["--resume", "file"], "result file is damaged or truncated at character 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    run: Call, arguments: list[str], message: str
) -> None:
    Path("file").write_text("not a folder")
    done = run("linreg", *arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


def test_malformed_settings_files_are_one_line(run: Call) -> None:
    Path("benchmarks.toml").write_text("version = 1\n[profiles.x.linreg]\nrunds = 3\n")
    done = run("linreg")
    assert done.exit_code == 2
    assert 'benchmarks.toml: [profiles.x.linreg] unknown key "runds"' in done.stderr
    assert 'did you mean "rounds"?' in done.stderr


def test_a_folder_at_home(run: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert run("linreg", *SMALL, "-a", "topk", "--output", "~/runs").exit_code == 0
    (folder,) = (tmp_path / "home" / "runs").iterdir()
    stored = json.loads((folder / "result.json").read_text())
    assert stored["settings"]["output"]["value"] == "~/runs"
    assert run("linreg", "--resume", f"~/runs/{folder.name}").exit_code == 0


def test_debug_shows_the_traceback(run: Call) -> None:
    done = run("linreg", "--density", "2", "--debug")
    assert done.exit_code == 2
    assert "Traceback" in done.stderr


def test_unknown_options_are_usage_errors(run: Call) -> None:
    assert run("linreg", "--roundss", "3").exit_code == 2
    assert run("linrge").exit_code == 2
