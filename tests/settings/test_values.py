from __future__ import annotations

import json
from typing import Any

import pytest

from regtopk_bench.algorithms import AlgorithmSpec
from regtopk_bench.settings import (
    COMMANDS,
    CifarSettings,
    Resolved,
    as_json,
    as_text,
    declarations,
    resolve,
    resumed,
)
from regtopk_bench.settings.file import SettingsFile

CHANGED: dict[str, dict[str, Any]] = {
    "linreg": {
        "algorithm": ["regtopk:mu=4,q=1e8", "mypackage.Mine:beta=0.9"],
        "k": "1,2",
        "seeds": "0-3",
        "target": "3e-7",
        "processes": "2",
    },
    "cifar": {
        "data": "images",
        "image_size": "8",
        "momentum": "0.9",
        "schedule": "cosine",
        "scope": "layer",
        "amp": True,
    },
    "toy": {"at": ["3", "7"], "save": True},
    "kernels": {"distribution": ["ties", "normal"], "threads": "3"},
}


@pytest.mark.parametrize("flags", [{}, CHANGED], ids=["built-in", "changed"])
@pytest.mark.parametrize("command", COMMANDS)
def test_stored_settings_come_back(command: str, flags: dict[str, Any], tmp_path: Any) -> None:
    settings = resolve(command, flags.get(command, {}), {}, SettingsFile(), None).settings
    stored = json.loads(json.dumps(as_json(settings)))
    assert stored.keys() == declarations(COMMANDS[command]).keys()
    bare = Resolved(COMMANDS[command](), dict.fromkeys(stored, "built-in"))
    assert resumed(bare, stored, tmp_path).settings == settings


def test_an_algorithm_is_stored_as_its_text() -> None:
    settings = CifarSettings(algorithm=(AlgorithmSpec("regtopk", (("mu", "2"), ("q", "1e4"))),))
    assert as_json(settings)["algorithm"] == ["regtopk:mu=2,q=1e4"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        ((), "none"),
        (True, "on"),
        (False, "off"),
        (0, "0"),
        (11_170_000, "11170000"),
        (0.0, "0"),
        (1e8, "1e+08"),
        (0.123456789, "0.123456789"),
        ((0.4, 0.6), "0.4, 0.6"),
        ((AlgorithmSpec("topk"), AlgorithmSpec("regtopk", (("mu", "4"),))), "topk, regtopk:mu=4"),
        ("auto", "auto"),
    ],
)
def test_values_as_text(value: Any, text: str) -> None:
    assert as_text(value) == text
