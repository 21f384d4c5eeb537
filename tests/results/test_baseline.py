"""Baseline files, as far as other tests do not look at them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regtopk_bench.results import baseline, store
from regtopk_bench.results.baseline import Acceptance, Baseline, baseline_cell, differing_in_time
from tests.results.samples import result, run


@pytest.mark.parametrize("sort_keys", [False, True])
def test_a_baseline_is_known_wherever_its_schema_stands(tmp_path: Path, sort_keys: bool) -> None:
    made = Baseline(
        profile="ci",
        history=[Acceptance(date="2026-01-01", reason="the first")],
        environment={"torch": "2.15"},
        cells={each.cell.key: baseline_cell("a name", each) for each in (run(), run(seed=1))},
    )
    file = tmp_path / "baseline.json"
    baseline.write(made, file)
    file.write_text(json.dumps(json.loads(file.read_text()), sort_keys=sort_keys))
    assert baseline.is_one(file)
    assert baseline.read(file) == made
    store.write(result([run()]), tmp_path)
    assert not baseline.is_one(tmp_path / store.RESULT_FILE)
    assert not baseline.is_one(tmp_path / "nowhere")


def test_times_also_depend_on_the_number_of_processors() -> None:
    here = {"torch": "2.15", "cpu_count": 2}
    assert differing_in_time(here, dict(here)) is None
    assert differing_in_time(here, here | {"cpu_count": 4}) == "it had 2 processors and has 4"
    assert differing_in_time(here, here | {"torch": "2.16"}) == "torch was 2.15 and is 2.16"
