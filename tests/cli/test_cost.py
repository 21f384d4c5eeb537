"""`cost`, and `--network` on the commands that train."""

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

from regtopk_bench.results import store
from tests.cli.test_linreg import PROBLEM
from tests.cli.test_others import WITHOUT_MATPLOTLIB
from tests.results.samples import image_run, result, timed
from tests.results.samples import run as sample

Call = Callable[..., Any]

SETTING = ["--params", "1e5", "-n", "8", "--network", "1gbit:1ms", "--compute", "10ms"]
GIVEN = [*SETTING, "--sparsifier-time", "1ms"]


def lines(run: Call, *arguments: str) -> list[dict[str, Any]]:
    done = run("cost", *arguments, "-f", "json")
    assert done.exit_code == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["lines"]
    return found


def test_it_says_what_a_step_costs_and_whether_to_compress(run: Call) -> None:
    done = run("cost", *SETTING)
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "J=100,000 (float32), N=8 workers, 1gbit:1ms, compute 10ms" in done.stdout
    assert "sparsify: measured here (" in done.stdout
    assert "ompress here" in done.stdout
    for name in ("dense", "topk", "regtopk", "randomk"):
        assert name in done.stdout
    assert not list(Path().iterdir())


def test_numbers_are_those_of_the_model(run: Call) -> None:
    """An all-gather of 1,000 entries between 8 workers: 7 steps of 1 ms, and 7 times 8 kB."""
    whole, sparse, shared = lines(run, *GIVEN, "-a", "topk", "-a", "randomk", "-d", "0.01")
    assert sparse["footprint"]["message_bytes"] == 8000
    assert sparse["communication_seconds"] == pytest.approx(7e-3 + 7 * 8000 * 8e-9)
    assert sparse["exposed"]["seconds"] == pytest.approx(0.011 + sparse["communication_seconds"])
    assert shared["footprint"]["summed_bytes"] == 4000
    assert whole["footprint"] == {
        "message_bytes": 400_000,
        "summed_bytes": 400_000,
        "aggregate_bytes": 400_000,
        "coordination_bytes": 0.0,
        "encoding": "4-byte values",
        "sparsify_seconds": 0.0,
    }
    assert whole["communication_seconds"] == pytest.approx(14e-3 + 7 / 4 * 400_000 * 8e-9)


def test_what_is_sent_follows_from_precision_encoding_and_parameters(run: Call) -> None:
    chosen = ["-a", "topk,topk:values=bfloat16", "-d", "0.01"]
    whole, single, half = lines(run, *GIVEN, "--dtype", "bfloat16", *chosen)
    sizes = [each["footprint"]["message_bytes"] for each in (whole, single, half)]
    assert sizes == [200_000, 8000, 6000]
    _, compact, _ = lines(run, *GIVEN, "--encoding", "compact", *chosen)
    assert compact["footprint"]["message_bytes"] < 8000
    *_, fixed = lines(run, *GIVEN, "-a", "topk", "-k", "123")
    assert fixed["footprint"]["message_bytes"] == 123 * 8
    assert fixed["density"] == 0.00123


def test_csv_has_a_row_for_each(run: Call) -> None:
    done = run("cost", *GIVEN, "-a", "topk", "-d", "0.01,0.001", "-f", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["algorithm"], row["density"]) for row in rows] == [
        ("dense", "1.0"),
        ("topk", "0.01"),
        ("topk", "0.001"),
    ]
    assert all(float(row["sparsify_seconds"]) == 1e-3 for row in rows[1:])


@pytest.mark.parametrize("output_format", ["markdown", "latex"])
def test_other_formats(run: Call, output_format: str) -> None:
    done = run("cost", *GIVEN, "-a", "regtopk:mu=2", "-f", output_format, "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "RegTop" in done.stdout


def test_settings_come_from_environment_and_file(
    run: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGTOPK_BENCH_NETWORK", "10gbit:50us:tree")
    Path("benchmarks.toml").write_text(
        'version = 1\n[profiles.mine.cost]\nparams = 100000\nworkers = 4\ncompute = "20ms"\n'
        'sparsifier_time = 0.002\nalgorithm = ["topk"]\n'
    )
    done = run("cost", "--profile", "mine")
    assert "N=4 workers, 10gbit:50us:tree, compute" in done.stdout
    shown = json.loads(run("config", "cost", "--profile", "mine", "-f", "json").stdout)
    assert json.dumps(shown).count("10gbit:50us:tree") == 1


def test_a_plot_is_drawn_where_it_is_asked_for(run: Call) -> None:
    done = run("cost", *GIVEN, "-a", "topk", "--plot", "cost.svg")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.endswith("drew cost.svg\n")
    assert Path("cost.svg").read_bytes().startswith(b"<?xml")
    assert run("cost", *GIVEN, "-a", "topk", "--plot", "new/cost.png").exit_code == 0
    failed = run("cost", *GIVEN, "-a", "topk", "--plot", "cost.svg/cost.png")
    assert failed.exit_code == 2
    assert "cannot draw into cost.svg/cost.png: " in failed.stderr
    assert failed.stdout == done.stdout


def save(folder: str, *, command: str = "cifar", **settings: Any) -> None:
    runs = [
        image_run("dense"),
        image_run("topk"),
        image_run("regtopk", mu=4.0, q=1e8, denominator="previous"),
        image_run("regtopk", mu=8.0, q=1e8, denominator="previous", traces={"accuracy": [0.1] * 3}),
        image_run("oracle"),
    ]
    Path(folder).mkdir()
    store.write(result(runs, command, **settings), Path(folder))


def test_rounds_of_a_saved_result_are_folded_in(run: Call) -> None:
    save("saved", target=0.7)
    whole, topk, four, eight = lines(run, *GIVEN, "--run", "saved")
    assert [each["density"] for each in (topk, four, eight)] == [0.5] * 3
    assert [each["rounds_to_target"] for each in (whole, topk, four, eight)] == [
        3.0,
        3.0,
        3.0,
        None,
    ]
    assert topk["exposed"]["to_target"] == pytest.approx(3 * topk["exposed"]["seconds"])
    assert eight["in_result"]
    assert eight["exposed"]["speed_up"] is None
    text = run("cost", *GIVEN, "--run", "saved").stdout
    assert "Training to 70 %: J=100,000" in text
    assert "RegTop-k mu=8 at density 0.5 did not reach 70 % on every seed of saved" in text
    assert "oracle" not in text
    chosen = run("cost", *GIVEN, "--run", "saved", "-a", "topk,randomk", "-d", "0.5").stdout
    assert "Random-k at density 0.5 had no run in saved" in chosen


def test_the_newest_run_can_be_meant(run: Call) -> None:
    done = run("linreg", *PROBLEM, "-r", "300", "-a", "dense,topk", "-d", "0.6", "--target", "0.5")
    assert done.exit_code == 0, done.stderr
    whole, topk = lines(run, *GIVEN, "--run", "latest")
    assert (whole["algorithm"], topk["algorithm"], topk["density"]) == ("dense", "topk", 0.6)
    assert whole["rounds_to_target"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "add --params 1.3e9 --workers 64 --network 25gbit:20us --compute 180ms"),
        (["--params", "1e6", "-n", "8"], "more: add --network 25gbit:20us --compute 180ms"),
        ([*GIVEN, "--dtype", "int8"], '--dtype: unknown value "int8"; known: float32, float64'),
        ([*GIVEN[:-1], "fast"], '--sparsifier-time: "fast" is not a time such as 180ms or 50us'),
        (["--compute", "-3s"], '--compute: "-3s" is not a time'),
        (["--compute", "0s"], "--compute: 0s is not a time above 0"),
        (["--network", "10gbps:1us"], '--network: "10gbps": the unit gbps is not one of bit, kbit'),
        (["--network", "10gbit"], '--network: "10gbit" is not a network such as 10gbit:50us'),
        ([*GIVEN, "-a", "oracle"], "oracle is a bound that no system can reach, and has no cost"),
        ([*GIVEN, "-k", "100001"], "k 100001 exceeds the 100000 entries of the gradient"),
        ([*GIVEN, "--plot", "cost.jpg"], "--plot: 'cost.jpg' does not end in one of .png, .svg, "),
        ([*GIVEN, "--run", "none"], "cannot read result none: No such file"),
        ([*GIVEN, "--run", "latest"], "there is no run in runs yet"),
        (
            [*GIVEN[:4], "--network", "3x9gbit:1us,1gbit:1us", *GIVEN[6:]],
            "8 workers do not fill nodes of 3: give a multiple of it",
        ),
    ],
)
def test_what_cannot_be_is_told_in_a_line(run: Call, arguments: list[str], said: str) -> None:
    done = run("cost", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_result_that_says_nothing_of_a_target_is_refused(run: Call) -> None:
    for folder, saved in (("a", result([timed()], "kernels")), ("b", result([sample()]))):
        Path(folder).mkdir()
        store.write(saved, Path(folder))
        done = run("cost", *GIVEN, "--run", folder)
        assert done.exit_code == 2
        assert "without a target: give one of linreg or cifar" in done.stderr


def test_without_matplotlib_the_table_is_printed_all_the_same() -> None:
    command = [sys.executable, "-c", WITHOUT_MATPLOTLIB, "cost", *GIVEN, "-a", "topk"]
    done = subprocess.run(
        [*command, "--plot", "a.png"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the plot needs Matplotlib" in done.stderr
    assert "Top-k" in done.stdout


NETWORK = ["--network", "1gbit:1ms"]
COLUMNS = [
    "projected_seconds_to_target",
    "projected_seconds_to_target_half_width",
    "projected_seconds_per_round",
    "projected_seconds_per_round_half_width",
]


def test_training_is_the_same_with_a_network_and_projects_its_time(run: Call) -> None:
    small = ["linreg", *PROBLEM, "-r", "150", "-a", "dense,topk,randomk", "-d", "0.6", "--no-save"]
    plain, projected = (
        json.loads(run(*small, "--target", "0.5", *more, "-f", "json").stdout)
        for more in ([], NETWORK)
    )
    for before, after in zip(plain["runs"], projected["runs"], strict=True):
        assert before["cell"] == after["cell"]
        assert before["traces"] == after["traces"]
        assert before["summed_bytes"] == after["summed_bytes"]
    assert [each["summed_bytes"] for each in plain["runs"]] == [160, None, 96]
    for before, after in zip(plain["summary"], projected["summary"], strict=True):
        own = {name: after["metrics"].pop(name) for name in COLUMNS[::2]}
        assert before["metrics"] == after["metrics"]
        rounds = after["metrics"]["rounds_to_target"]["mean"]
        each, to_target = (own[name]["mean"] for name in COLUMNS[2::-2])
        assert each > 3e-3  # the three steps that the network takes at least
        assert to_target == pytest.approx(rounds * each)


def test_tables_have_projected_times_only_if_they_are_asked_for(run: Call) -> None:
    small = ["linreg", *PROBLEM, "-r", "50", "-a", "dense,topk", "-d", "0.6", "--no-save"]
    for more in ([], NETWORK):
        text = run(*small, "--target", "0.5", *more).stdout
        assert ("projected" in text) == bool(more)
        assert ("s to 0.5" in text) == bool(more)
        rows = csv.DictReader(io.StringIO(run(*small, *more, "-f", "csv").stdout))
        assert rows.fieldnames
        assert set(COLUMNS).issubset(rows.fieldnames) == bool(more)
    note = " ".join(run(*small, *NETWORK).stdout.split())
    assert "dense by all-reduce, values alone; topk by all-gather" in note


def test_a_network_that_does_not_fit_the_workers_is_refused(run: Call) -> None:
    done = run("linreg", *PROBLEM, "--network", "3x1gbit:1us,1gbit:1us")
    assert done.exit_code == 2
    assert done.stderr == ("error: 4 workers do not fill nodes of 3: give a multiple of it\n")
