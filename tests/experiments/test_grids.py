"""What decides about numbers, says a setting, and what decides about cells are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from regtopk_bench import ConfigurationError
from regtopk_bench.algorithms import parse_spec
from regtopk_bench.experiments import Cell
from regtopk_bench.experiments.grids import image_cells, regression_cells, toy_cells
from regtopk_bench.network import Network
from regtopk_bench.settings import CifarSettings, LinregSettings, ToySettings, decides
from regtopk_bench.workloads.images import synthetic_images

OTHER: dict[str, Any] = {
    "workers": 3,
    "samples": 7,
    "dim": 9,
    "mean_variance": 2.0,
    "model_variance": 2.0,
    "noise_variance": 2.0,
    "dtype": "float32",
    "rounds": 11,
    "learning_rate": 0.5,
    "seeds": (4,),
    "algorithm": (parse_spec("regtopk:mu=7"),),
    "density": (0.3,),
    "k": (2,),
    "processes": 2,
    "jobs": 2,
    "checkpoint_every": 3,
    "timeout": 9.0,
    "restarts": 9,
    "unpacked_limit": 9.0,
    "resume": "somewhere",
    "format": "json",
    "output": "elsewhere",
    "save": False,
    "plot_format": "svg",
    "plot_width": "single",
    "plot_title": False,
    "network": Network.parse("10gbit:50us"),
    "target": 0.3,
    "at": (2,),
    "model": "resnet18",
    "weights": "imagenet",
    "freeze_backbone": True,
    "partition": "shards",
    "weighting": "size",
    "batch": 2,
    "augment": True,
    "cache": "there",
    "schedule": "cosine",
    "warm_up": 4,
    "momentum": 0.5,
    "weight_decay": 0.5,
    "local_steps": 2,
    "evaluate_every": 3,
    "scope": "layer",
    "encoding": "compact",
    "amp": True,
}
BY_THE_IMAGES = {"dataset", "data", "image_size"}  # which are read before there are cells
RESOLVED = {"device"}  # "auto" is one or the other

OF_SOME = {"algorithm", "density", "k", "scope"}  # while other cells stay what they are

IMAGES = synthetic_images(side=8)


def images(settings: CifarSettings) -> list[Cell]:
    return image_cells(settings, IMAGES, "cpu")


COMMANDS: list[tuple[type[Any], Callable[[Any], list[Cell]]]] = [
    (LinregSettings, regression_cells),
    (CifarSettings, images),
    (ToySettings, toy_cells),
]
CASES = [
    (kind, cells, declared.name)
    for kind, cells in COMMANDS
    for declared in dataclasses.fields(kind)
    if declared.name not in BY_THE_IMAGES | RESOLVED
]


@pytest.mark.parametrize(
    ("kind", "cells", "name"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
def test_cells_differ_where_a_setting_that_decides_does(
    kind: type[Any], cells: Callable[[Any], list[Cell]], name: str
) -> None:
    settings = kind()
    changed = dataclasses.replace(settings, **{name: OTHER[name]})
    before, after = ({cell.key for cell in cells(each)} for each in (settings, changed))
    assert (before != after) == (name in decides(kind))
    if name in decides(kind) - OF_SOME:
        assert before.isdisjoint(after)


def test_images_and_device_decide() -> None:
    settings = CifarSettings(algorithm=(parse_spec("topk"),))
    keys = {
        cell.key
        for data in (IMAGES, synthetic_images(side=9))
        for device in ("cpu", "cuda")
        for cell in image_cells(settings, data, device)
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("cells", "settings"),
    [
        (regression_cells, LinregSettings(rounds=10**12)),
        (images, CifarSettings(rounds=10**12)),
        (toy_cells, ToySettings(rounds=10**12)),
        (regression_cells, LinregSettings(rounds=10**9, seeds=tuple(range(1000)))),
    ],
)
def test_rounds_whose_traces_fit_no_memory_are_refused(
    cells: Callable[[Any], list[Cell]], settings: Any
) -> None:
    with pytest.raises(ConfigurationError, match=r"the traces of \d+ rounds in \d+ runs take"):
        cells(settings)
