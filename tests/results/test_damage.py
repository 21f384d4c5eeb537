"""Damage that a count, a total or a kind shows is never shown as a result."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench import ConfigurationError
from regtopk_bench.results import Result, store
from tests.results.samples import image_run, result, run, timed

Change = Callable[[dict[str, Any]], Any]


def written(folder: Path, shown: Result) -> dict[str, Any]:
    store.write(shown, folder)
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


def refused(folder: Path, text: str, message: str) -> None:
    (folder / "result.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r".") as caught:
        store.read(folder)
    assert message in str(caught.value)
    assert f"{folder / 'result.json'}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one["traces"]["gap"].pop(), "gap has 2 values after 3 rounds"),
        (lambda one: one["traces"]["gap"].append(1.0), "gap has 4 values after 3 rounds"),
        (lambda one: one["traces"].pop("uplink_bytes"), "there is no trace of uplink_bytes"),
        (
            lambda one: one["traces"].update(uplink_bytes=[48, 0, 48]),
            "uplink_bytes comes to 96, and the metric is 144",
        ),
        (lambda one: one["metrics"].update(gap=0.5), "gap comes to 0.01, and the metric is 0.5"),
        (lambda one: one["metrics"].pop("gap"), "gap comes to 0.01, and the metric is missing"),
        (lambda one: one["metrics"].update(gap=None), "the metric is nan"),
        (lambda one: one["metrics"].update(rounds=2), "finished after 2 rounds, and the recipe"),
        (lambda one: one["metrics"].update(rounds=3.0), "rounds is 3.0, and must be a whole"),
        (lambda one: one["metrics"].update(rounds=None), "rounds is nan, and must be a whole"),
        (lambda one: one["metrics"].pop("rounds"), "rounds is None, and must be a whole number"),
        (lambda one: one["metrics"].update(workers=0), "workers is 0, and must be a whole number"),
        (lambda one: one["metrics"].update(workers=3), "3 workers, and the problem has 2"),
        (lambda one: one["metrics"].update(parameters=-4), "parameters is -4, and must be"),
        (lambda one: one["metrics"].update(gap=True), "at runs.0.metrics.gap: Input should be"),
        (lambda one: one["traces"].update(gap=[1.0, "0.1", 0.01]), "at runs.0.traces.gap.1: "),
        (
            lambda one: one["cell"]["recipe"].update(rounds=2),
            "after 3 rounds, and the recipe has 2",
        ),
        (lambda one: one["cell"]["recipe"].pop("rounds"), "rounds is None, and must be"),
        (lambda one: one["cell"]["problem"].pop("workload"), "workload is None, and must be text"),
        (lambda one: one["cell"]["sparsifier"].update(algorithm=3), "algorithm is 3, and must be"),
        (lambda one: one["cell"].update(seed=-1), "at runs.0.cell.seed: "),
        (lambda one: one["cell"].update(seed=2**63), "at runs.0.cell.seed: "),
        (lambda one: one["cell"].update(seed=True), "at runs.0.cell.seed: "),
    ],
)
def test_runs_that_contradict_themselves(tmp_path: Path, change: Change, message: str) -> None:
    content = written(tmp_path, result([run()]))
    change(content["runs"][0])
    refused(tmp_path, json.dumps(content), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["runs"].append(content["runs"][0]), "two runs have the same cell"),
        (
            lambda content: content.update(command="kernels"),
            "run 0 is of another kind than those of kernels",
        ),
        (
            lambda content: content["settings"]["workers"].update(value=3),
            "setting workers is 3, and run 0 has 2",
        ),
        (lambda content: content.pop("version"), "damaged at version: None"),
        (lambda content: content.update(version=True), "damaged at version: True"),
        (lambda content: content.pop("command"), "damaged at command: Field required"),
    ],
)
def test_results_whose_parts_do_not_fit(tmp_path: Path, change: Change, message: str) -> None:
    content = written(tmp_path, result([run()], workers=2, rounds=3))
    change(content)
    refused(tmp_path, json.dumps(content), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one["traces"]["seconds"].pop(), "traces differ in length"),
        (lambda one: one["traces"].update(seconds=[-0.5, 0.5]), "seconds has a time below 0"),
        (lambda one: one["traces"].update(seconds=[None, None]), "seconds has no time at all"),
        (lambda one: one["traces"].pop("memory_limit_seconds"), "no trace of memory_limit_seconds"),
        (lambda one: one["metrics"].pop("moved_bytes"), "moved_bytes is None"),
        (lambda one: one["execution"].update(misses=None), "misses is nan"),
        (lambda one: one["cell"]["problem"].update(dim="10"), "dim is '10'"),
        (lambda one: one["cell"]["candidate"].pop("operation"), "operation is None"),
    ],
)
def test_timings_that_contradict_themselves(tmp_path: Path, change: Change, message: str) -> None:
    content = written(tmp_path, result([timed([0.5, 0.25])], "kernels"))
    change(content["runs"][0])
    refused(tmp_path, json.dumps(content), message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1e400", "1e400 is not a number that JSON can hold"),
        ("NaN", "NaN is not a number that JSON can hold"),
        ("1" * 5000, "is damaged: Exceeds the limit"),
        ("[" * 100_000, "is damaged: "),
        ('{"a": 1, "a": 2}', 'the key "a" is there twice'),
        ('"\0"', "Invalid control character"),
        ('"', "damaged or truncated"),
    ],
)
def test_what_is_not_strict_json(tmp_path: Path, value: str, message: str) -> None:
    text = json.dumps(written(tmp_path, result([run()], rounds=3)))
    assert '"rounds": {"value": 3' in text
    refused(
        tmp_path, text.replace('"rounds": {"value": 3', f'"rounds": {{"value": {value}'), message
    )
    refused(tmp_path, f"\ufeff{text}", "BOM")


@pytest.mark.parametrize("name", ["result.json", "journal.jsonl"])
def test_pipes_folders_and_devices_are_not_read(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    os.mkfifo(file)
    with pytest.raises(ConfigurationError, match=f"cannot read .*{name}: not a regular file"):
        store.read(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigurationError, match=f"cannot read .*{name}: Is a directory"):
        store.read(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot read result /dev/zero: not a regular"):
        store.read(Path("/dev/zero"))
    with pytest.raises(ConfigurationError, match=r"cannot read result x+: File name too long"):
        store.read(Path("x" * 300))


@pytest.mark.parametrize(
    "sound",
    [
        run(gaps=[]),
        run(gaps=[1.0, math.inf], status="diverged"),
        run(gaps=[1.0, math.nan], status="stopped"),
        run(metrics={"skew": 0.5}),
        image_run(),
        timed([0.5, math.nan]),
    ],
)
def test_what_commands_write_is_not_taken_for_damage(tmp_path: Path, sound: Any) -> None:
    shown = result([sound], "kernels" if sound.cell.kind == "kernel" else "linreg")
    assert store.dump(Result.model_validate(written(tmp_path, shown))) == store.dump(shown)
    assert store.dump(store.read(tmp_path)) == store.dump(shown)
