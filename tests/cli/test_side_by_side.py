"""`show A B`, and what `compare A B` says has changed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench.results import Run, store
from tests.results.samples import HOSTILE, RECIPE, result, timed
from tests.results.samples import run as sample

Call = Callable[..., Any]

SETTINGS = {"workers": 2, "rounds": 3}


def save(name: str, runs: Sequence[Run], command: str = "linreg", **settings: Any) -> str:
    Path(name).mkdir()
    store.write(result(runs, command, **settings), Path(name))
    return name


@pytest.fixture
def pair() -> tuple[str, str]:
    """RegTop-k is worse in B, which has a further seed, and no dense run."""
    before = [sample(name, seed) for name in ("dense", "topk", "regtopk") for seed in (0, 1)]
    after = [sample("topk", seed) for seed in (0, 1, 2)]
    after += [sample("regtopk", seed, gaps=(1.0, 0.5, 0.1 + 0.1 * seed)) for seed in (0, 1)]
    return save("a", before), save("b", after)


def test_values_are_side_by_side(run: Call, pair: tuple[str, str]) -> None:
    done = run("show", *pair, "-f", "json")
    assert (done.exit_code, done.stderr) == (0, "")
    rows = {(each["cell"], each["metric"]): each for each in json.loads(done.stdout)}
    worse = rows["linreg/regtopk/density=0.5", "log10_gap"]
    assert (worse["a"], worse["seeds"], worse["only"]) == (-2.0, 2, None)
    assert worse["difference"] == pytest.approx(worse["b"] + 2.0)
    assert worse["half_width"] > 0.0
    same = rows["linreg/topk/density=0.5", "uplink_bytes"]
    assert (same["a"], same["b"], same["difference"]) == (144, 144, 0)
    only = rows["linreg/dense", "log10_gap"]
    assert (only["a"], only["b"], only["difference"], only["only"]) == (-2.0, None, None, "A")


def test_the_table_says_what_is_missing(run: Call, pair: tuple[str, str]) -> None:
    text = run("show", *pair).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("A: a, B: b\n")
    assert "only A has linreg/dense\n" in text
    assert "only B has seeds 2 of linreg/topk/density=0.5\n" in text
    assert "95 % interval, paired by seed" in text


@pytest.mark.parametrize("output_format", ["csv", "markdown", "latex"])
def test_other_formats(run: Call, pair: tuple[str, str], output_format: str) -> None:
    done = run("show", *pair, "-f", output_format)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "linreg/dense" in done.stdout
    if output_format == "csv":
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert len(rows) == 12
        assert {row["only"] for row in rows} == {"", "A"}


def test_runs_of_other_settings_are_paired(run: Call) -> None:
    slow = save("slow", [sample(recipe=RECIPE)])
    fast = save("fast", [sample(recipe=RECIPE | {"learning_rate": 0.2}, gaps=(1.0, 0.1, 0.001))])
    text = run("show", slow, fast).stdout
    assert "paired disregarding learning_rate 0.1 in A and 0.2 in B" in text
    (row,) = [line.split() for line in text.splitlines() if "log10_gap" in line]
    assert row == ["linreg/topk/density=0.5", "log10_gap", "-2", "-3", "-1", "1"]


def test_what_did_not_finish_is_named(run: Call) -> None:
    one = save("one", [sample(), sample("regtopk", status="stopped")])
    other = save("other", [sample("topk", status="diverged")])
    text = " ".join(run("show", one, other).stdout.split())
    assert "not compared: linreg/regtopk/density=0.5/seed=0 of A stopped" in text
    assert "not compared: linreg/topk/density=0.5/seed=0 of B diverged" in text
    nothing = run("show", other, other)
    assert nothing.exit_code == 0
    assert nothing.stdout.startswith("A: other, B: other\n")
    assert run("show", other, other, "-f", "json").stdout == "[]\n"


def test_what_cannot_be_paired_at_all(run: Call) -> None:
    one, other = save("one", [sample()]), save("other", [timed()], "kernels")
    text = " ".join(run("show", one, other).stdout.split())
    assert "only A has linreg/topk/density=0.5" in text
    assert "only B has kernels/step/numba, warm/normal/J=10/density=0.1" in text


@pytest.mark.parametrize("flags", [("-o", "plots"), ("--plot-format", "svg"), ("--plot",)])
def test_two_results_have_no_plot(run: Call, pair: tuple[str, str], flags: tuple[str, ...]) -> None:
    done = run("show", *pair, *flags)
    assert done.exit_code == 2
    assert "two results have no plot: leave out --" in done.stderr
    assert done.stdout == ""
    assert run("show", *pair, "--no-plot").exit_code == 0


def test_damage_names_the_result(run: Call, pair: tuple[str, str]) -> None:
    Path("b/result.json").write_text(Path("b/result.json").read_text()[:-9])
    for arguments in (("show", *pair), ("show", *pair[::-1]), ("show", "a", "absent")):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert "result b/result.json is damaged" in done.stderr or "absent" in done.stderr


@pytest.mark.parametrize("output_format", ["table", "csv", "markdown", "latex", "json"])
def test_no_name_breaks_it(run: Call, output_format: str) -> None:
    names = [name for name in HOSTILE if name.encode("utf-8", "ignore").decode() == name]
    one, other = save("one", [sample(each) for each in names]), save("other", [sample()])
    done = run("show", one, other, "-f", output_format)
    assert (done.exit_code, done.stderr) == (0, "")
    assert all(each.isprintable() for each in done.stdout.replace("\n", ""))


def test_compare_says_what_changed(run: Call, pair: tuple[str, str]) -> None:
    done = run("compare", *pair)
    assert done.exit_code == 1
    verdicts, changes = done.stdout.split("What changed from A to B")
    assert "FAIL" in verdicts
    (row,) = [line for line in changes.splitlines() if "regtopk" in line]
    assert "±" in row
    assert not any(line.startswith("linreg/topk") for line in changes.splitlines())
    assert "equal, and not shown: 7 more values" in changes
    same = run("compare", "a", "a").stdout
    assert "PASS" in same
    assert "What changed" not in same
    json.loads(run("compare", *pair, "-f", "json").stdout)
