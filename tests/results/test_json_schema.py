from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import ValidationError

from regtopk_bench.results import Result, baseline, json_schema, store
from regtopk_bench.results.baseline import Acceptance, Baseline, baseline_cell
from regtopk_bench.results.costs import Rounds, dump
from regtopk_bench.results.verdict import Kind, Reason
from tests.results import costed
from tests.results.samples import check, image_run, result, run, timed, timing, verdict

CHECKED = check(
    [verdict(value=math.nan, baseline=-math.inf, timing=timing(high=math.inf, ratio=None))]
    + [verdict(kind, reason) for kind in get_args(Kind) for reason in get_args(Reason)],
    [run(), timed(), image_run("regtopk")],
    strict=True,
    select=["a", "b"],
)
RESULTS = {
    "linreg": result([run("regtopk", q=math.inf, mu=4.0), run()], target=1e-6),
    "diverged": result([run(gaps=[1.0, math.nan], status="diverged")]),
    "infinite": result([run(gaps=[math.inf, -math.inf], metrics={"loss": math.nan})]),
    "no rounds": result([run(gaps=[], status="stopped")]),
    "images": result([image_run()], "cifar"),
    "kernels": result([timed([0.5, math.nan])], "kernels"),
    "check": CHECKED,
    "empty": result([]),
}
BASELINE = Baseline(
    profile="ci",
    history=[Acceptance(date="2026-01-01T00:00:00+00:00", reason="the first")],
    environment={"torch": "2.14.0", "cpu_count": 2, "governor": None, "smt": True, "load": 0.5},
    cells={
        each.cell.key: baseline_cell("a name", each, seconds=1.5, log_ratios=[0.0, -0.25])
        for each in (run(gaps=[1.0, math.nan]), timed())
    },
)


def validator(name: str) -> jsonschema.Draft202012Validator:
    """Return a validator of the file that is in the package."""
    text = (json_schema.FOLDER / name).read_text(encoding="utf-8")
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def written(each: Result | Baseline, folder: Path) -> Any:
    """Return the content of the file that a command would write."""
    if isinstance(each, Result):
        store.write(each, folder)
        return json.loads((folder / store.RESULT_FILE).read_text(encoding="utf-8"))
    baseline.write(each, folder / "baseline.json")
    return json.loads((folder / "baseline.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", json_schema.FILES)
def test_the_files_in_the_package_are_those_of_the_models(name: str) -> None:
    model = json_schema.FILES[name]
    text = (json_schema.FOLDER / name).read_text(encoding="utf-8")
    hint = "run `python -m regtopk_bench.results.json_schema`, and look at what changed"
    assert json.loads(text) == json_schema.document(model), hint


def test_they_can_be_written_anew(tmp_path: Path) -> None:
    json_schema.write(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == set(json_schema.FILES)
    for name in json_schema.FILES:
        jsonschema.Draft202012Validator.check_schema(json.loads((tmp_path / name).read_text()))


def test_each_says_which_version_of_which_files_it_describes() -> None:
    schemas = {name: validator(name).schema for name in json_schema.FILES}
    assert {name: (each["$id"], each["$schema"]) for name, each in schemas.items()} == {
        "result.schema.json": ("urn:regtopk-bench:result:2", json_schema.DIALECT),
        "baseline.schema.json": ("urn:regtopk-bench:baseline:1", json_schema.DIALECT),
        "diagnosis.schema.json": ("urn:regtopk-bench:diagnosis:1", json_schema.DIALECT),
        "cost.schema.json": ("urn:regtopk-bench:cost:1", json_schema.DIALECT),
    }


def test_fields_are_described() -> None:
    definitions = validator("result.schema.json").schema["$defs"]
    ratio = definitions["Timing"]["properties"]["ratio"]
    assert ratio["description"] == "Head over base; 1.1 is 10 % slower."


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_valid(name: str, tmp_path: Path) -> None:
    validator("result.schema.json").validate(written(RESULTS[name], tmp_path))


def test_null_is_where_a_number_is_not_finite(tmp_path: Path) -> None:
    diverged = written(RESULTS["diverged"], tmp_path)["runs"][0]
    assert (diverged["metrics"]["gap"], diverged["traces"]["gap"]) == (None, [1.0, None])
    odd = written(CHECKED, tmp_path)["verdicts"][0]
    assert (odd["value"], odd["baseline"], odd["timing"]["high"]) == (None, None, None)


def test_baselines_are_valid(tmp_path: Path) -> None:
    validator("baseline.schema.json").validate(written(BASELINE, tmp_path))


def test_costs_are_valid() -> None:
    told = Rounds(result="runs/A", target="70 %", workers=4)
    for found in (
        costed.costs(costed.entry(sparsify_seconds=0.0)),
        costed.costs(costed.entry(rounds=3.0), costed.entry(costed.OTHER), rounds=told),
    ):
        validator("cost.schema.json").validate(json.loads(dump(found)))


def test_results_of_an_earlier_release_are_valid(tmp_path: Path) -> None:
    content = written(RESULTS["linreg"], tmp_path)
    del content["verdicts"]
    for each in content["runs"]:
        for name in ("error", "encoding", "digests", "environments"):
            del each[name]
    validator("result.schema.json").validate(content)
    Result.model_validate(content)


def test_what_a_later_release_adds_is_valid(tmp_path: Path) -> None:
    content = written(CHECKED, tmp_path) | {"weather": "fair"}
    content["verdicts"][0]["colour"] = "green"
    validator("result.schema.json").validate(content)
    Result.model_validate(content)


def damaged(content: Any, path: str, value: Any) -> Any:
    """Return a copy with another value at a path, or without it if the value is `...`."""
    changed = copy.deepcopy(content)
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place = changed
    for part in way:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "regtopk-bench.baseline"),
        ("schema", ...),
        ("version", 3),
        ("version", ...),
        ("created", ...),
        ("runs", {}),
        ("runs.0.status", "done"),
        ("runs.0.cell.kind", "other"),
        ("runs.0.cell.kind", ...),
        ("runs.0.cell.seed", -1),
        ("runs.0.cell.recipe", ...),
        ("runs.0.metrics.gap", "0.1"),
        ("runs.0.metrics.gap", True),
        ("runs.0.traces.gap.0", "NaN"),
        ("runs.0.traces.gap", None),
        ("runs.0.digests.selections", 3),
        ("verdicts.0.verdict", "OK"),
        ("verdicts.0.reason", "just so"),
        ("verdicts.0.sentence", ...),
        ("verdicts.0.value", "1"),
        ("verdicts.0.timing.pairs", 1.5),
        ("verdicts.0.timing.margin", None),
        ("settings.strict.source", ...),
    ],
)
def test_damaged_results_are_refused_as_the_models_refuse_them(
    path: str, value: Any, tmp_path: Path
) -> None:
    content = damaged(written(CHECKED, tmp_path), path, value)
    assert not validator("result.schema.json").is_valid(content)
    if path not in ("schema", "version"):  # `store.read` looks at these, and they have defaults
        with pytest.raises(ValidationError):
            Result.model_validate(content)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "regtopk-bench.result"),
        ("version", 2),
        ("history", []),
        ("history.0.reason", ...),
        ("profile", None),
        ("environment.torch", ["2.14.0"]),
        ("cells", []),
        ("cells.KEY.name", ...),
        ("cells.KEY.metrics.gap", 0.5),
        ("cells.KEY.metrics.gap.value", None),
        ("cells.KEY.metrics.gap.tolerance", -1.0),
        ("cells.KEY.seconds", -1.0),
        ("cells.KEY.log_ratios.0", None),
    ],
)
def test_damaged_baselines_are_refused(path: str, value: Any, tmp_path: Path) -> None:
    accepted = run()
    key = accepted.cell.key
    held = baseline_cell("a name", accepted, log_ratios=[0.0])
    content = written(BASELINE.model_copy(update={"cells": {key: held}}), tmp_path)
    assert validator("baseline.schema.json").is_valid(content)
    changed = damaged(content, path.replace("KEY", key), value)
    assert not validator("baseline.schema.json").is_valid(changed)
    with pytest.raises(ValidationError):
        Baseline.model_validate(changed)
