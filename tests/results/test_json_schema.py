from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from regtopk_bench.results import Result, baseline, json_schema, store
from regtopk_bench.results.baseline import Acceptance, Baseline, baseline_cell
from regtopk_bench.results.verdict import Timing, Verdict
from tests.results.samples import image_run, result, run, timed

UNKNOWN = Timing(ratio=1.0, low=-math.inf, high=math.inf, margin=0.1, detectable=None, pairs=1)
VERDICT = Verdict(
    cell="0", name="a", metric="gap", verdict="FAIL", reason="worse", sentence="it is worse",
    value=math.nan, baseline=1, timing=UNKNOWN,
)  # fmt: skip

RESULTS = [
    result([run(gaps=[1.0, math.inf])], rounds=2),
    result([run(status="diverged", gaps=[math.nan])]),
    result([image_run()], "cifar"),
    result([timed([0.5, math.nan])], "kernels"),
    result([]),
    result([run(), timed()], "check", allow_new=True).model_copy(update={"verdicts": [VERDICT]}),
]


def validator(model: type[BaseModel]) -> jsonschema.Draft202012Validator:
    schema = json_schema.document(model)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def written(folder: Path, kept: Result) -> Any:
    store.write(kept, folder)
    return json.loads((folder / store.RESULT_FILE).read_text(encoding="utf-8"))


def written_baseline(folder: Path) -> Any:
    measured = run(gaps=[1.0, 0.5])
    cells = {measured.cell.key: baseline_cell("a", measured, log_ratios=[0.5])}
    file = folder / "baseline.json"
    history = [Acceptance(date="2026-01-01T00:00:00+00:00", reason="first")]
    accepted = Baseline(
        profile="smoke", history=history, environment={"torch": "2.4", "blas": None}, cells=cells
    )
    baseline.write(accepted, file)
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", json_schema.FILES)
def test_stored_schemas_are_those_of_the_models(name: str) -> None:
    stored = (json_schema.FOLDER / name).read_text(encoding="utf-8")
    assert stored == json_schema.text(json_schema.FILES[name]), (
        "write them anew by `python -m regtopk_bench.results.json_schema`"
    )


def test_no_other_schemas_are_stored(tmp_path: Path) -> None:
    json_schema.write(tmp_path)
    for folder in (tmp_path, json_schema.FOLDER):
        assert {file.name for file in folder.iterdir()} == set(json_schema.FILES)


@pytest.mark.parametrize("number", range(len(RESULTS)))
def test_written_results_are_valid(tmp_path: Path, number: int) -> None:
    content = written(tmp_path, RESULTS[number])
    validator(Result).validate(content)
    assert store.read(tmp_path)


def test_nan_is_there_as_null(tmp_path: Path) -> None:
    content = written(tmp_path, RESULTS[1])
    assert content["runs"][0]["metrics"]["gap"] is None
    assert content["runs"][0]["traces"]["gap"] == [None]


def test_results_of_earlier_releases_are_valid(tmp_path: Path) -> None:
    content = written(tmp_path, RESULTS[0])
    for added in ("digests", "environments", "encoding", "error"):
        content["runs"][0].pop(added, None)
    del content["verdicts"]
    validator(Result).validate(content | {"later": 1})


def test_written_baselines_are_valid(tmp_path: Path) -> None:
    validator(Baseline).validate(written_baseline(tmp_path))


def _without(*path: str | int) -> Callable[[Any], None]:
    def damage(content: Any) -> None:
        for name in path[:-1]:
            content = content[name]
        del content[path[-1]]

    return damage


def _with(value: object, *path: str | int) -> Callable[[Any], None]:
    def damage(content: Any) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _without("schema"),
        _without("version"),
        _without("runs"),
        _without("runs", 0, "cell", "kind"),
        _with(1, "version"),
        _with("regtopk-bench.baseline", "schema"),
        _with("high", "runs", 0, "metrics", "gap"),
        _with([["1"]], "runs", 0, "traces", "gap"),
        _with("lost", "runs", 0, "status"),
        _with(-1, "runs", 0, "cell", "seed"),
        _with("GOOD", "verdicts", 0, "verdict"),
        _with("because", "verdicts", 0, "reason"),
        _with([], "runs", 0),
    ],
)
def test_damaged_results_are_not_valid(tmp_path: Path, damage: Callable[[Any], None]) -> None:
    content = written(tmp_path, RESULTS[-1])
    damaged = copy.deepcopy(content)
    damage(damaged)
    assert validator(Result).is_valid(content)
    assert not validator(Result).is_valid(damaged)


@pytest.mark.parametrize(
    "damage",
    [_without("history"), _with([], "history"), _with(2, "version"), _with([1], "cells")],
)
def test_damaged_baselines_are_not_valid(tmp_path: Path, damage: Callable[[Any], None]) -> None:
    content = written_baseline(tmp_path)
    damage(content)
    assert not validator(Baseline).is_valid(content)
