"""Models are what their names say, and fit the data or say why not."""

from __future__ import annotations

import pytest
import torch

from regtopk_bench import ConfigurationError
from regtopk_bench.workloads.images import build_model
from regtopk_bench.workloads.images.models import largest_output


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_small_network_is_small_and_has_no_statistics() -> None:
    model = build_model("cnn", classes=10, side=32)
    assert 90_000 < parameters(model) < 110_000
    assert not list(model.buffers())
    assert model(torch.rand(5, 3, 32, 32)).shape == (5, 10)


def test_resnet18_has_the_stem_for_small_images() -> None:
    model = build_model("resnet18", classes=10, side=32)
    assert parameters(model) == 11_173_962
    assert model.conv1(torch.rand(1, 3, 32, 32)).shape[-1] == 32  # type: ignore[operator]
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert model.training


@pytest.mark.parametrize(
    ("name", "side"), [("mobilenet_v2", 32), ("squeezenet1_1", 64), ("shufflenet_v2_x0_5", 32)]
)
def test_models_of_torchvision_have_their_classifier_fitted(name: str, side: int) -> None:
    model = build_model(name, classes=7, side=side, freeze_backbone=True)
    assert model(torch.rand(2, 3, side, side)).shape == (2, 7)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert 1 <= len(trained) <= 2
    assert trained[0].shape[0] == 7


def test_auxiliary_classifiers_are_left_out() -> None:
    model = build_model("googlenet", classes=5, side=32)
    assert model.train()(torch.rand(2, 3, 32, 32)).shape == (2, 5)


def test_initial_parameters_follow_the_seed() -> None:
    models = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        models.append(build_model("resnet18", classes=10, side=32).state_dict())
    for name, value in models[0].items():
        assert torch.equal(value, models[1][name])
    assert not torch.equal(models[0]["conv1.weight"], models[2]["conv1.weight"])


def test_models_and_sizes_that_do_not_fit() -> None:
    with pytest.raises(ConfigurationError, match='no model "resnet81"; did you mean "resnet18"'):
        build_model("resnet81", classes=10, side=32)
    with pytest.raises(ConfigurationError, match=r"alexnet.* cannot take images of 32×32"):
        build_model("alexnet", classes=10, side=32)


def test_sizes_that_could_not_be_computed_are_not_tried_out() -> None:
    assert build_model("cnn", classes=10, side=20_000).training
    with pytest.raises(ConfigurationError, match=r"cannot take images of 1000000000×1000000000"):
        build_model("cnn", classes=10, side=10**9)


def test_the_largest_output_is_found_without_computing_anything() -> None:
    model = build_model("cnn", classes=10, side=32)
    assert largest_output(model, (3, 32, 32)) == 16 * 32 * 32 * 4
    assert largest_output(model, (3, 10**5, 10**5)) == 16 * 10**10 * 4
