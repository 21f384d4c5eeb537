"""What results look like in an interactive session: short, whatever they hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regtopk_bench as rb
from regtopk_bench.errors import MissingPackageError
from regtopk_bench.results import store
from tests.results import samples

ROUNDS = 3000


@pytest.fixture(scope="module")
def trace() -> rb.Trace:
    workload = rb.LinearRegression.synthetic(workers=4, samples=30, dim=12)
    return rb.simulate(workload, rb.TopK(k=3), rounds=ROUNDS, learning_rate=0.01, processes=1)


@pytest.fixture(scope="module")
def result() -> rb.Result:
    return rb.simulate_seeds(
        lambda seed: rb.LinearRegression.synthetic(workers=4, samples=30, dim=12, seed=seed),
        [rb.Dense(), rb.TopK(density=0.25)],
        seeds=range(10),
        rounds=50,
        learning_rate=0.01,
    )


class Cells(HTMLParser):
    """Collects what stands in the cells of a table, and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_repr_is_one_short_line(trace: rb.Trace, result: rb.Result) -> None:
    shown = repr(trace)
    assert shown.startswith(f"Trace(algorithm='topk', k=3, seed=0, rounds={ROUNDS}, workers=4, ")
    assert f"uplink_bytes={ROUNDS * 4 * 3 * 12}" in repr(trace.bytes_sent)
    assert "runs=20, algorithms='dense, topk', seeds=10" in repr(result)
    assert "algorithm='topk', density=0.25, seed=0, status='finished', gap=" in repr(result.runs[1])
    for value in (trace, trace.bytes_sent, result, result.runs[0], samples.timed()):
        for text in (repr(value), str(value)):
            assert "\n" not in text
            assert len(text) < 250


def test_html_is_a_small_table(trace: rb.Trace, result: rb.Result) -> None:
    rows = dict(Cells(trace._repr_html_()).rows)  # type: ignore[arg-type]
    assert rows["rounds"] == f"{ROUNDS:,}"
    assert float(rows["gap"]) == pytest.approx(trace["gap"][-1], rel=1e-3)
    run = dict(Cells(result.runs[1]._repr_html_()).rows)  # type: ignore[arg-type]
    assert run["algorithm"] == "topk"
    assert run["uplink_bytes"] == f"{result.runs[1].metrics['uplink_bytes']:,}"
    header, *first = Cells(result._repr_html_()).rows
    assert header[:3] == ["algorithm", "seed", "status"]
    assert len(first) == 12
    assert "and 8 more" in result._repr_html_()


def test_html_escapes_what_people_chose(result: rb.Result) -> None:
    (run, *_) = result.runs
    cell = run.cell.model_copy(update={"sparsifier": {"algorithm": "<b>mine</b>"}})
    shown = run.model_copy(update={"cell": cell})._repr_html_()
    assert "&lt;b&gt;mine&lt;/b&gt;" in shown
    assert "<b>" not in shown


def test_a_data_frame_has_a_row_for_each_round_or_run(trace: rb.Trace, result: rb.Result) -> None:
    frame = trace.to_pandas()
    assert frame.index.name == "round"
    assert list(frame.index[[0, -1]]) == [1, ROUNDS]
    assert np.array_equal(frame["gap"], trace["gap"])
    assert frame["uplink_bytes"].sum() == trace.bytes_sent.uplink.sum()
    run = result.runs[3]
    assert run.to_pandas()["loss"].tolist() == run.traces["loss"]
    frame = result.to_pandas()
    assert len(frame) == 20
    assert frame.loc[3, "gap"] == run.metrics["gap"]
    assert set(frame["algorithm"]) == {"dense", "topk"}
    assert frame.groupby("algorithm")["seed"].count().tolist() == [10, 10]
    assert {"learning_rate", "workload", "status", "uplink_bytes"} <= set(frame.columns)


def test_facts_with_the_same_name_are_told_apart(result: rb.Result) -> None:
    (run, *_) = result.runs
    cell = run.cell.model_copy(update={"sparsifier": {"algorithm": "mine", "momentum": 0.3}})
    facts = run.model_copy(update={"cell": cell}).facts
    assert facts["sparsifier_momentum"] == 0.3
    assert facts["momentum"] == 0.0


def test_without_pandas_one_line_names_it(
    trace: rb.Trace, result: rb.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for value in (trace, result, result.runs[0], rb.compare(result)):
        with pytest.raises(
            MissingPackageError, match=r"^to_pandas needs pandas: pip install pandas$"
        ):
            value.to_pandas()  # type: ignore[attr-defined]


@pytest.mark.parametrize("content", ["import no_such_module", "from sys import no_such_name"])
def test_a_pandas_that_is_broken_is_not_called_missing(
    content: str, trace: rb.Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("pandas.py").write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(".")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pandas"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match="no_such_"):
        trace.to_pandas()


def test_what_is_saved_is_loaded_and_shown(result: rb.Result) -> None:
    rb.save(result, "runs/mine")
    rb.save(result, Path("runs/mine"))  # again
    assert rb.load("runs/mine") == result
    assert (Path("runs/mine/traces.csv")).read_text(encoding="utf-8").count("\n") == 20 * 50 + 1
    content = json.loads(Path("runs/mine/result.json").read_text(encoding="utf-8"))
    expected = {each.label: each.metrics["loss"].mean for each in rb.compare(result).summary}
    found = {each["label"]: each["metrics"]["loss"]["mean"] for each in content["summary"]}
    assert found == expected
    environment = os.environ | {"COLUMNS": "100"}
    command = [sys.executable, "-m", "regtopk_bench", "show", "latest"]
    for options in ([], ["--format", "csv"], ["--format", "json"]):
        done = subprocess.run(
            [*command, *options], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        if not options:
            assert done.stdout.strip() == repr(rb.compare(result))
        elif "csv" in options:
            assert [line.split(",")[0] for line in done.stdout.splitlines()] == [
                *("algorithm", "dense", "topk")
            ]


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("file", "^cannot save to file: File exists$"),
        ("file/below", "^cannot save to file/below: Not a directory$"),
        ("unfinished", "^unfinished has a run that has not ended: name another folder$"),
        ("~nobody-at-all/runs", "^cannot save to .*home"),
        ("a\0b", "^cannot save to a.*null byte"),
        (3, "path 3 of a result is no path"),
    ],
)
def test_save_says_what_is_wrong_in_one_line(folder: Any, message: str, result: rb.Result) -> None:
    Path("file").touch()
    Path("unfinished").mkdir()
    Path("unfinished/journal.jsonl").touch()
    with pytest.raises(rb.ConfigurationError, match=message) as caught:
        rb.save(result, folder)
    assert "\n" not in str(caught.value)
    assert not Path("unfinished/result.json").exists()


def test_only_a_result_is_saved(trace: rb.Trace) -> None:
    with pytest.raises(rb.ConfigurationError, match=r"^expected a Result, not a Trace$"):
        rb.save(trace, "mine")  # type: ignore[arg-type]
    assert not Path("mine").exists()


def test_load_takes_any_path_to_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = samples.result([samples.run(), samples.run("regtopk")])
    store.write(saved, tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    for path in (tmp_path, str(tmp_path), tmp_path / "result.json", f"~/{tmp_path.name}"):
        assert rb.load(path) == saved


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "cannot read result absent: No such file"),
        ("~nobody-at-all/runs", "cannot read result .*home"),
        ("a\0b", "cannot read result a.*null byte"),
        (3, "path 3 of a result is no path"),
    ],
)
def test_load_says_what_is_wrong_in_one_line(path: Any, message: str) -> None:
    with pytest.raises(rb.ConfigurationError, match=message) as caught:
        rb.load(path)
    assert "\n" not in str(caught.value)


def test_the_version_is_that_of_the_installed_package() -> None:
    from importlib.metadata import version

    assert rb.__version__ == version("regtopk-bench")
