"""What image classification says about itself, and the arguments that it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from regtopk_bench import ConfigurationError
from regtopk_bench.workloads.images import (
    ImageClassification,
    ImageData,
    build_model,
    partition,
)
from tests.workloads.images.problems import DATA, dropping, images, workload


def test_shapes_are_those_of_the_trained_parameters_in_order() -> None:
    problem = workload()
    assert problem.shapes[:3] == ((16, 3, 3, 3), (16,), (16,))
    network = build_model("cnn", classes=3, side=16)
    start_J, position = problem.initial_parameters(0), 0
    for shape, parameter in zip(problem.shapes, problem._model.parameters(), strict=True):
        assert shape == parameter.shape
        part_J = start_J[position : position + parameter.numel()]
        assert torch.equal(part_J.view(shape), parameter)
        position += parameter.numel()
    assert position == problem.dim == sum(each.numel() for each in network.parameters())
    frozen = workload(build_model("resnet18", classes=3, side=16, freeze_backbone=True))
    assert frozen.shapes == ((3, 512), (3,))


def with_other_images(seed: int) -> ImageClassification:
    data = ImageData(DATA.classes, images(200, seed), DATA.test)
    torch.manual_seed(0)
    network = build_model("cnn", classes=3, side=16)
    shares = partition(DATA.train.labels_N.numpy(), 4, "iid", batch=8, seed=0)
    return ImageClassification(data, network, shares, batch=8, seed=5, augment=True)


def frozen_resnet(statistic: float) -> nn.Module:
    """Networks that differ in values that are not trained."""
    torch.manual_seed(0)
    network = build_model("resnet18", classes=3, side=16, freeze_backbone=True)
    network.bn1.running_mean.fill_(statistic)  # type: ignore[operator, union-attr]
    return network


def test_the_identity_follows_all_that_decides_about_gradients() -> None:
    torch.manual_seed(1)
    other_values = build_model("cnn", classes=3, side=16)
    problems = [
        workload(),
        workload(other_values),
        workload(dropping()),
        workload(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 16 * 16, 3))),
        workload(frozen_resnet(0.0)),
        workload(frozen_resnet(0.5)),
        workload(workers=3),
        workload(augment=False),
        workload(amp=True),
        workload(weights=torch.tensor([0.4, 0.2, 0.2, 0.2], dtype=torch.float64)),
        with_other_images(2),
    ]
    identities = [str(problem.identity) for problem in problems]
    assert len(set(identities)) == len(problems)
    assert str(workload().identity) == str(with_other_images(0).identity) == identities[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shares": []}, "no shares"),
        ({"batch": 0}, "batch 0 is not at least 1"),
        ({"batch": 51}, "worker 0 has 50 images, fewer than a batch of 51"),
        ({"shares": [np.arange(50), np.arange(190, 240)]}, "share of worker 1 .* outside of the 2"),
        ({"shares": [np.arange(-50, 0)]}, "share of worker 0 has indices outside"),
        ({"weights": torch.full((3,), 1 / 3)}, r"shape \(3,\): expected \(4,\)"),
        ({"weights": torch.full((4,), 1.0)}, "sum of 1"),
        ({"weights": torch.tensor([0.5, 0.5, 0.5, -0.5])}, "above 0"),
        ({"model": nn.Flatten()}, "no parameter that requires a gradient"),
        ({"model": nn.Linear(2, 3).double()}, "parameter weight is torch.float64"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "model": nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)),
        "shares": [np.arange(50 * worker, 50 * (worker + 1)) for worker in range(4)],
        "batch": 8,
    }
    ImageClassification(DATA, **usual)
    with pytest.raises(ConfigurationError, match=message):
        ImageClassification(DATA, **usual | change)
