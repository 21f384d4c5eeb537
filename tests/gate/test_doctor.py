"""Doctor: what it concludes from pairs, what checks make of it, and the command as a process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regtopk_bench.gate import doctor as module
from regtopk_bench.gate.doctor import Doctor
from regtopk_bench.gate.pairs import CONTROL, PairTimes
from regtopk_bench.gate.suite import Suite
from regtopk_bench.gate.tree import Tree
from regtopk_bench.results import diagnosis
from regtopk_bench.results.diagnosis import Diagnosis
from regtopk_bench.results.equivalence import Plan
from tests.cli.processes import whole
from tests.gate.conftest import Project

KEYS = ("one", "other")
ENVIRONMENT = {"processor": "a processor", "cpu_count": 2}


class Pairs:
    """Pairs of processes with some noise; cells that are slowed down are slower by a factor."""

    def __init__(self, noise: float, *, slower: float = 1.0, drift: float = 0.0) -> None:
        self.generator = np.random.default_rng(0)
        self.noise, self.slower, self.drift = noise, slower, drift
        self.swapped: list[bool] = []

    def times(self, head: Suite, base: Suite, wanted: Any, **options: Any) -> PairTimes:
        assert head.tree.name != base.tree.name
        self.swapped.append(options["swapped"])
        heads = {
            factor: {key: self.seconds(self.slower if factor > 1 else 1.0) for key in keys}
            | {CONTROL: self.seconds() + self.drift}
            for factor, keys in wanted.items()
        }
        return PairTimes(heads, {key: self.seconds() for key in (*KEYS, CONTROL)})

    def seconds(self, factor: float = 1.0) -> float:
        return float(np.log(factor) + self.generator.normal(0.0, self.noise / 2**0.5))


def examined(monkeypatch: pytest.MonkeyPatch, pairs: Pairs, slowdown: float = 1.5) -> Diagnosis:
    monkeypatch.setattr(module.pairs, "times", pairs.times)
    suite = Suite(
        profile="ci",
        tree=Tree("head"),
        request={},
        cells={},
        names=dict(zip(KEYS, KEYS, strict=True)),
        estimates={},
        skipped={},
        claims=[],
        environment=ENVIRONMENT,
        files=frozenset(),
        unknown=[],
        frozen=1,
    )
    counted: list[int] = []
    found = Doctor(suite, KEYS, Plan(), slowdown, 10.0).examine(8, counted.append)
    assert counted == [1, 2, 3, 4, 5, 6, 7, 8]
    assert pairs.swapped == [False, True] * 4
    return found


def test_a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, Pairs(0.02, slower=1.5))
    assert found.unfit is None
    assert found.false_alarms.value == 0.0
    assert found.passed.value > 0.95
    assert 4.0 <= found.pairs_taken < 8.0
    for cell in found.cells:
        assert 0.005 < cell.noise < 0.04
        assert cell.found.value > 0.99
        assert cell.found_in_95 is not None
        assert 1.1 < cell.found_in_95 < 1.25
    assert str(found).startswith("of gate runs on this machine 0 % (0 to ")
    assert str(found).endswith("at least find a slowdown of 1.5")


def test_what_is_found_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, Pairs(0.02, slower=1.0))  # whatever was asked for
    assert {cell.found.value for cell in found.cells} == {0.0}


def test_a_machine_that_is_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, Pairs(1.0, slower=1.5))
    assert found.unfit is not None
    assert "it would miss a slowdown of 2 of one" in str(found)


def test_a_machine_that_favours_a_side(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, Pairs(0.01, slower=1.5, drift=0.2))
    assert found.unfit is not None
    assert "the reference kernel, the same on both sides" in str(found)


def test_answers_are_kept_for_a_week(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = examined(monkeypatch, Pairs(0.02, slower=1.5))
    folder = tmp_path / "deep" / "cache"

    def kept(**changes: Any) -> Diagnosis | None:
        asked = {"environment": ENVIRONMENT, "profile": "ci", "margin": 1.1, "keys": KEYS}
        return diagnosis.stored(folder, **(asked | changes))

    assert kept() is None
    file = diagnosis.store(found, folder)
    assert kept() == found
    assert kept(keys=["one"]) == found
    assert kept(keys=["one", "a third"]) is None
    assert kept(margin=1.2) is None
    assert kept(profile="other") is None
    assert kept(environment=ENVIRONMENT | {"cpu_count": 4}) is None
    assert kept(environment=ENVIRONMENT | {"load_average": 4.0}) == found
    old = datetime.now(UTC) - timedelta(days=8)
    diagnosis.store(found.model_copy(update={"created": old.isoformat()}), folder)
    assert kept() is None
    file.write_text("{", encoding="utf-8")
    assert kept() is None


def test_the_command_and_what_checks_make_of_it(project: Project, tmp_path: Path) -> None:
    project.changes(
        "[profiles.ci.linreg]", '[profiles.ci.check]\ntime = ["*Mine*"]\n\n[profiles.ci.linreg]'
    )
    done = whole("doctor", "--pairs", "4", "-f", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [cell["name"] for cell in found["cells"]] == ["linreg/Mine/density=0.5/seed=0"]
    assert (found["pairs"], found["slowdown"], found["margin"]) == (4, 1.2, 1.1)
    assert found["machine"]["processors"] == found["environment"]["cpu_count"]
    (file,) = project.cache.iterdir()
    assert f"kept for checks in {file}" in done.stderr

    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other")
    against = ("--against", str(other.folder), "--time-budget", "1")
    fit = found | {"unfit": None}
    file.write_text(json.dumps(fit), encoding="utf-8")
    checked = json.loads(project.check(*against).stdout)
    assert [note[:6] for note in checked["notes"]] == ["doctor"]
    assert [each["reason"] for each in checked["verdicts"] if each["metric"] == "time"] == [
        "out-of-time"
    ]
    unfit = found | {"unfit": "it sleeps"}
    file.write_text(json.dumps(unfit), encoding="utf-8")
    code, verdicts = project.found(*against)
    assert verdicts["linreg/Mine/density=0.5/seed=0", "time"] == ("INCONCLUSIVE", "machine-unfit")
    assert code == 0
    assert project.found(*against, "--strict")[0] == 4


def test_nothing_to_time(project: Project) -> None:
    project.changes(
        "[profiles.ci.linreg]", '[profiles.ci.check]\ntime = ["none"]\n\n[profiles.ci.linreg]'
    )
    done = whole("doctor", "--pairs", "4")
    assert done.returncode == 2
    assert 'no cell of profile "ci" is named "none"' in done.stderr
    assert done.stderr.count("\n") == 1
