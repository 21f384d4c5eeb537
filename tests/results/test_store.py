from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench import ConfigurationError
from regtopk_bench.results import Result, store
from tests.results.samples import result, run, timed


def sample(**change: Any) -> Result:
    return result([run(gaps=[1.0, math.inf])], rounds=2).model_copy(update=change)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store.write(sample(), tmp_path)
    restored = store.read(tmp_path)
    assert store.dump(restored) == store.dump(sample())
    assert store.read(tmp_path / "result.json").runs[0].cell == sample().runs[0].cell
    assert math.isnan(restored.runs[0].traces["gap"][1])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["result.json", "traces.csv"]


def test_the_file_is_strict_json_with_schema_and_version(tmp_path: Path) -> None:
    store.write(sample(), tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (tmp_path / "result.json").read_text()
    content = json.loads(text, parse_constant=refuse)
    assert (content["schema"], content["version"]) == ("regtopk-bench.result", 2)


def test_traces_are_one_row_per_round(tmp_path: Path) -> None:
    store.write(sample(), tmp_path)
    with (tmp_path / "traces.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == ["1", "2"]
    assert rows[0] == {
        "algorithm": "topk", "density": "0.5", "seed": "0", "round": "1", "gap": "1.0",
        "uplink_bytes": "48", "downlink_bytes": "64", "coordination_bytes": "0",
    }  # fmt: skip


def test_runs_that_differ_in_a_parameter_are_told_apart_in_the_traces(tmp_path: Path) -> None:
    runs = [run("regtopk", mu=4), run("regtopk", mu=8), run("pkg.Mine", k=1), run("dense")]
    store.write(result(runs), tmp_path)
    with (tmp_path / "traces.csv").open() as file:
        which = [(row["algorithm"], row["density"]) for row in csv.DictReader(file)]
    assert which[::3] == [
        ("regtopk:mu=4", "0.5"),
        ("regtopk:mu=8", "0.5"),
        ("Mine", "0.25"),
        ("dense", "1.0"),
    ]


def test_traces_of_kernels_say_what_was_timed(tmp_path: Path) -> None:
    store.write(result([timed()], "kernels"), tmp_path)
    with (tmp_path / "traces.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {
                "distribution": "normal", "dim": "10", "density": "0.1", "operation": "step",
                "implementation": "numba", "case": "warm", "round": "1", "seconds": "0.5",
                "memory_limit_seconds": "0.25",
            }
        ]  # fmt: skip


def test_comparisons_are_a_row_each_where_there_are_several_seeds(tmp_path: Path) -> None:
    names = ("dense", "topk", "regtopk")
    logs = {"dense": (-3.0, -3.1), "topk": (-1.0, -1.3), "regtopk": (-2.0, -2.4)}
    runs = [run(name, seed, gaps=[10.0 ** logs[name][seed]]) for name in names for seed in (0, 1)]
    shown = result(runs, target=0.01)
    store.write(shown, tmp_path)
    with (tmp_path / "comparisons.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = json.loads(store.dump(shown))["comparisons"]
    assert len(rows) == len(expected) > 3
    for row, each in zip(rows, expected, strict=True):
        flat = {
            **{name: each[name] for name in ("metric", "better", "family", "tests", "finding")},
            **{name: each[name] for name in ("p", "p_corrected", "p_wilcoxon", "seeds_needed")},
            **{which: each[which]["label"] for which in ("first", "second")},
            **{f"{which}_density": each[which]["density"] for which in ("first", "second")},
            **{name: each["difference"][name] for name in ("n", "half_width")},
            "difference": each["difference"]["mean"],
        }
        assert row == {name: "" if value is None else str(value) for name, value in flat.items()}


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_without_two_seeds_in_common_there_are_no_comparisons(
    tmp_path: Path, seeds: tuple[int, int]
) -> None:
    store.write(result([run("topk", seeds[0]), run("regtopk", seeds[1])]), tmp_path)
    assert not (tmp_path / "comparisons.csv").exists()


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(sample(), tmp_path)
    before = (tmp_path / "result.json").read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write(sample(command="toy"), tmp_path)
    assert (tmp_path / "result.json").read_text() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["result.json", "traces.csv"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "damaged or truncated"),
        (lambda text: "", "damaged or truncated"),
        (lambda text: "[1, 2]", "is not a result"),
        (
            lambda text: text.replace('"version": 2', '"version": 3'),
            "version 3, .* reads version 2: upgrade",
        ),
        (
            lambda text: text.replace('"version": 2', '"version": 1'),
            "written by an older version .*: make it again",
        ),
        (lambda text: text.replace('"version": 2', '"version": "x"'), "damaged at version"),
        (lambda text: text.replace("regtopk-bench.result", "other"), "is not a result"),
        (lambda text: text.replace('"finished"', '"fine"'), r"damaged at runs\.0\.status"),
        (lambda text: text.replace('"runs"', '"walks"'), "damaged at runs"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    store.write(sample(), tmp_path)
    file = tmp_path / "result.json"
    file.write_text(change(file.read_text()))
    with pytest.raises(ConfigurationError, match=message):
        store.read(file)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        store.read(tmp_path / "absent.json")
    with pytest.raises(ConfigurationError, match="cannot read"):
        store.read(tmp_path)
    (tmp_path / "noise.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not a text file"):
        store.read(tmp_path / "noise.json")


def test_unknown_fields_of_the_same_version_are_ignored(tmp_path: Path) -> None:
    content = json.loads(store.dump(sample())) | {"novelty": 1}
    (tmp_path / "result.json").write_text(json.dumps(content))
    assert store.read(tmp_path).command == "linreg"


def test_every_run_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {store.new_folder(tmp_path / "runs", "linreg") for _ in range(5)}
    assert len(folders) == 5
