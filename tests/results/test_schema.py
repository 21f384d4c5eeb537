from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from regtopk_bench.results import Result, Run, TrainingCell
from regtopk_bench.results.store import dump
from tests.results.samples import LINREG, cell, result, run, timed


def test_a_key_depends_on_values_and_not_on_how_they_are_written() -> None:
    written = cell("regtopk", mu=4, q=1e8)
    for alike in (
        cell("regtopk", q=1e8, mu=4.0),
        cell("regtopk", mu=4, q=100000000, problem=dict(reversed(LINREG.items()))),
        TrainingCell.model_validate_json(written.model_dump_json()),
    ):
        assert alike.key == written.key
        assert hash(alike) == hash(written)
    assert len(written.key) == 16
    assert int(written.key, 16) >= 0


def test_the_key_is_the_same_in_every_version_that_reads_this_schema() -> None:
    """Checkpoints and journals name cells by it."""
    assert cell("regtopk", mu=4.0).key == "33db6fdf201a1317"


def test_any_difference_changes_the_key() -> None:
    cells = [
        cell(),
        cell("regtopk"),
        cell(seed=1),
        cell(mu=4),
        cell(mu=4.5),
        cell(mu=True),
        cell(density=0.25),
        cell(mu=math.inf),
        cell(mu=-math.inf),
        cell(problem={"workload": "toy"}),
        cell(recipe={"rounds": 4}),
    ]
    assert len({each.key for each in cells}) == len(cells)


def test_a_group_leaves_out_the_seed_only() -> None:
    assert cell(seed=0).group == cell(seed=1).group
    assert cell(mu=4).group != cell(mu=5).group


def test_infinite_hyper_parameters_can_be_stored() -> None:
    stored = dump(result([run("regtopk", q=math.inf)]))
    restored = Result.model_validate(json.loads(stored)).runs[0].cell
    assert restored == cell("regtopk", q=math.inf)


def test_a_run_knows_its_cell_by_kind() -> None:
    content = run().model_dump(mode="json")
    assert Run.model_validate(content).cell == cell()
    assert Run.model_validate(timed().model_dump(mode="json")).cell == timed().cell
    with pytest.raises(ValidationError, match="kind"):
        Run.model_validate(content | {"cell": {"kind": "other"}})


def test_cells_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        cell().seed = 3  # type: ignore[misc]
