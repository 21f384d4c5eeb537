"""`config`, and the options that settings become."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench.settings import COMMANDS

Call = Callable[..., Any]


def test_values_sources_and_what_decides(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("benchmarks.toml").write_text(
        "version = 1\n[defaults]\nlearning_rate = 3\n[profiles.mine.linreg]\nworkers = 9\n"
    )
    monkeypatch.setenv("REGTOPK_BENCH_SAMPLES", "33")
    arguments = ["--rounds", "7", "-a", "topk,regtopk:mu=4,q=1e8", "-a", "dense", "-f", "json"]
    done = run("config", "linreg", "--profile", "mine", *arguments)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)["linreg"]
    assert found["rounds"] == {"value": 7, "source": "flag", "decides": True}
    assert found["samples"] == {"value": 33, "source": "environment", "decides": True}
    assert found["workers"] == {"value": 9, "source": "profile mine", "decides": True}
    assert found["learning_rate"] == {"value": 3.0, "source": "defaults", "decides": True}
    assert found["jobs"] == {"value": 1, "source": "built-in", "decides": False}
    assert found["algorithm"]["value"] == ["topk", "regtopk:mu=4,q=1e8", "dense"]


def test_every_command_as_a_table(run: Call) -> None:
    everything = run("config")
    assert everything.exit_code == 0
    assert "Settings of toy" in everything.stdout
    assert "REGTOPK_BENCH_MEAN_VARIANCE" in everything.stdout
    assert "regtopk:mu=5" in everything.stdout
    assert max(map(len, everything.stdout.splitlines())) <= 80


def test_every_command_as_json(run: Call) -> None:
    found = json.loads(run("config", "-f", "json").stdout)
    assert found.keys() == COMMANDS.keys()
    decisions = {each["decides"] for settings in found.values() for each in settings.values()}
    assert decisions == {True, False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-a", "topkk"], 'error: --algorithm: unknown value "topkk"; did you mean "topk"?'),
        (["-j", "2", "-p", "2"], "error: jobs 2 with processes 2"),
    ],
)
def test_unusable_options_end_with_one_line(run: Call, arguments: list[str], message: str) -> None:
    done = run("config", "linreg", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
