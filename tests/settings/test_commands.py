from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench import ConfigurationError
from regtopk_bench.algorithms import ALGORITHMS
from regtopk_bench.network import Network
from regtopk_bench.settings import (
    COMMANDS,
    CifarSettings,
    LinregSettings,
    ToySettings,
    decides,
    declarations,
)

EACH = [
    pytest.param(declaration, id=f"{command} {name}")
    for command, settings in COMMANDS.items()
    for name, declaration in declarations(settings).items()
]

METAVARS = {
    "INT": {
        *("workers", "samples", "dim", "image_size", "batch", "size", "rounds", "warm_up"),
        *("local_steps", "evaluate_every", "k", "jobs", "checkpoint_every", "repeats", "at"),
        *("processes", "pairs", "restarts", "params"),
    },
    "INT|auto": {"processes", "threads"},
    "FLOAT": {
        *("mean_variance", "model_variance", "noise_variance", "learning_rate", "momentum"),
        *("weight_decay", "density", "timeout", "target", "unpacked_limit", "margin"),
        *("cell_timeout", "time_budget", "slowdown"),
    },
    "NAME": {
        *("dtype", "dataset", "model", "partition", "weighting", "schedule", "algorithm", "scope"),
        *("device", "distribution", "implementation", "format", "plot_format", "plot_width"),
        *("select", "time", "reason", "encoding"),
    },
    "NAME|PATH": {"weights"},
    "PATH": {"data", "against"},
    "FILE": {"baseline", "junit", "plot"},
    "DIR": {"cache", "output"},
    "RUN": {"resume", "run"},
    "NETWORK": {"network"},
    "TIME": {"compute", "sparsifier_time"},
    "LIST": {"seeds"},
    None: {
        *("freeze_backbone", "augment", "amp", "save", "timing", "allow_new", "allow_missing"),
        *("strict", "dry_run", "summary", "plot_title"),
    },
}


@pytest.mark.parametrize("declaration", EACH)
def test_every_setting_is_shown_and_read(declaration: Any) -> None:
    assert declaration.name in METAVARS[declaration.kind.metavar]
    assert declaration.help.endswith(".")
    assert "{" not in declaration.help
    assert all(choice in declaration.help for choice in declaration.kind.choices)
    repeatable = isinstance(declaration.default, tuple) and declaration.name != "seeds"
    assert declaration.kind.repeatable == repeatable
    if isinstance(declaration.default, str | bool | int | float):
        assert declaration.kind.parse(declaration.default) == declaration.default
        assert declaration.kind.parse(str(declaration.default)) == declaration.default


@pytest.mark.parametrize("command", COMMANDS)
def test_no_two_settings_share_a_letter(command: str) -> None:
    letters = [each.short for each in declarations(COMMANDS[command]).values() if each.short]
    letters += ["-h", "-q", "-v"]
    assert len(set(letters)) == len(letters)


REPORT = {"format", "output", "save", "plot_format", "plot_width", "plot_title"}
RUNNING = {"processes", "jobs", "timeout", "restarts", "checkpoint_every", "resume"}


@pytest.mark.parametrize(
    ("command", "free"),
    [
        ("linreg", {*REPORT, *RUNNING, "target", "network"}),
        ("cifar", {*REPORT, *RUNNING, "target", "network", "data", "cache", "unpacked_limit"}),
        ("toy", {*REPORT, "at"}),
        ("kernels", {*REPORT, "repeats"}),
        (
            "check",
            {
                *("format", "output", "save", "junit", "summary"),
                *("cell_timeout", "time_budget", "dry_run", "resume", "cache"),
            },
        ),
    ],
)
def test_all_that_does_not_decide(command: str, free: set[str]) -> None:
    assert declarations(COMMANDS[command]).keys() - decides(COMMANDS[command]) == free


def test_the_built_in_algorithms() -> None:
    assert list(map(str, LinregSettings().algorithm)) == [
        "dense",
        "topk",
        "regtopk:mu=4",
        "randomk",
        "oracle",
    ]
    assert list(map(str, CifarSettings().algorithm)) == ["dense", "topk", "regtopk:mu=5"]
    help = declarations(LinregSettings)["algorithm"].help
    assert ", ".join(ALGORITHMS) in help


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (LinregSettings, {"k": (101,)}, "k 101 exceeds dim 100"),
        (LinregSettings, {"processes": 21}, "processes 21 exceeds workers 20"),
        (LinregSettings, {"jobs": 2, "processes": 2}, "jobs 2 with processes 2: cells that"),
        (CifarSettings, {"jobs": 3, "processes": 3}, "jobs 3 with processes 3"),
        (CifarSettings, {"k": (5,), "scope": "layer"}, "--k with --scope layer"),
        (
            LinregSettings,
            {"network": Network.parse("8x1gbit:1us,1gbit:1us")},
            "20 workers do not fill nodes of 8",
        ),
        (CifarSettings, {"warm_up": 501}, "warm_up 501 exceeds rounds 500"),
        (ToySettings, {"at": (3, 151)}, "at 151 exceeds rounds 150"),
    ],
)
def test_settings_that_exclude_each_other(
    settings: type[Any], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings(**values)


def test_paths_are_kept_as_they_were_written() -> None:
    cache = CifarSettings().cache
    assert str(cache) == "~/.cache/regtopk-bench"
    assert Path(cache) == Path.home() / ".cache" / "regtopk-bench"


@pytest.mark.parametrize("processes", ["auto", 1])
def test_several_jobs_of_one_process_each(processes: Any) -> None:
    assert LinregSettings(jobs=4, processes=processes).jobs == 4


def test_settings_import_nothing_heavy() -> None:
    heavy = {"torch", "pydantic", "numpy", "numba", "matplotlib"}
    code = f"import regtopk_bench.settings, sys; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
