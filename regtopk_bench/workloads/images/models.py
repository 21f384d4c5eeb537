"""Networks that classify images, with a classifier sized to the data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from regtopk_bench.errors import ConfigurationError, suggest
from regtopk_bench.workloads.images.vision import torchvision
from regtopk_bench.workloads.images.weights import load_weights, published

LARGE_SIDE = 512
"""Of images for which memory may be too small; nothing is tried out on them."""

_IMAGENET_CLASSES = 1000
_GROUPS = 8
_CNN_SIDE = 4


class SmallCNN(nn.Sequential):
    """Three convolutions with group normalisation, about 105,000 parameters for ten classes.

    Group normalisation, unlike batch normalisation, has no statistics that workers would have
    to agree on. Downsampling comes first in each block, which is cheapest on a CPU.
    """

    def __init__(self, classes: int) -> None:
        narrow, middle, wide = 16, 64, 128
        super().__init__(
            nn.Conv2d(3, narrow, 3, padding=1),
            nn.MaxPool2d(2),
            nn.GroupNorm(_GROUPS, narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, middle, 3, stride=2, padding=1),
            nn.GroupNorm(_GROUPS, middle),
            nn.ReLU(),
            nn.Conv2d(middle, wide, 3, stride=2, padding=1),
            nn.GroupNorm(_GROUPS, wide),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(_CNN_SIDE),  # 32×32 images are not averaged
            nn.Flatten(),
            nn.Linear(wide * _CNN_SIDE**2, classes),
        )


def build_model(
    name: str, *, classes: int, side: int, weights: str = "none", freeze_backbone: bool = False
) -> nn.Module:
    """Build a network for square RGB images.

    Args:
        name: "cnn", `SmallCNN`; "resnet18", with the stem for small images (3×3, stride 1, no
            pooling; He et al., arXiv 1512.03385, section 4.2); or any classification model of
            torchvision. Its initial parameters come from PyTorch's global generator.
        classes: Outputs of the classifier.
        side: Height and width of the images.
        weights: "none"; "imagenet", what torchvision publishes, for all but the classifier;
            or the path of a state dictionary, from which all that fits is loaded.
        freeze_backbone: Train the classifier only.

    Raises:
        ConfigurationError: If there is no such model, it has no published weights, or it
            cannot take images of this size.
        MissingPackageError: If it is one of torchvision's, which is not installed.
        RunError: If weights cannot be read or fetched, or are damaged.
    """
    if name == "cnn":
        model: nn.Module = SmallCNN(classes)
        if weights == "imagenet":
            raise ConfigurationError('model "cnn" has no published weights: train it from none')
        head = list(dict(model.named_children()))[-1]
    else:
        model, head = _torchvision_model(name, classes, weights)
    if weights not in ("none", "imagenet"):
        load_weights(model, Path(weights))
    if freeze_backbone:
        for parameter_name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter_name.startswith(f"{head}."))
    _try(model, name, classes, side)
    return model


def _torchvision_model(name: str, classes: int, weights: str) -> tuple[nn.Module, str]:
    """Return a model and the name of its classifier's last layer."""
    models = torchvision("models", f'model "{name}"')

    known = models.list_models(module=models)
    if name not in known:
        raise ConfigurationError(f'no model "{name}"{suggest(name, ["cnn", *known])}')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about defaults that may change
        model = published(name) if weights == "imagenet" else models.get_model(name)
    if name == "resnet18":
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    if getattr(model, "aux_logits", False):  # extra classifiers halfway, in GoogLeNet and Inception
        model.aux_logits = False
        for auxiliary in ("aux1", "aux2", "AuxLogits"):
            if hasattr(model, auxiliary):
                setattr(model, auxiliary, None)
    return model, _fit_classifier(model, name, classes)


def _fit_classifier(model: nn.Module, name: str, classes: int) -> str:
    """Replace the last layer that has as many outputs as ImageNet has classes."""
    found: list[tuple[str, Any]] = [
        (path, layer)
        for path, layer in model.named_modules()
        if _outputs(layer) == _IMAGENET_CLASSES
    ]
    if not found:
        raise ConfigurationError(f'model "{name}" has no classifier that could be replaced')
    path, layer = found[-1]
    parent, _, attribute = path.rpartition(".")
    bias = layer.bias is not None
    if isinstance(layer, nn.Conv2d):
        fitted: nn.Module = nn.Conv2d(layer.in_channels, classes, layer.kernel_size, bias=bias)  # type: ignore[arg-type]
    else:
        fitted = nn.Linear(layer.in_features, classes, bias=bias)
    setattr(model.get_submodule(parent), attribute, fitted)
    return path


def _outputs(layer: Any) -> int | None:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d) else None


def largest_output(model: nn.Module, shape_CHW: Sequence[int]) -> int:
    """Return the bytes of the largest output of a layer for one image; nothing is computed."""
    sizes = [0]

    def note(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.nbytes)

    hooks = [layer.register_forward_hook(note) for layer in model.modules()]
    try:
        _scores(model, shape_CHW, "meta")
    finally:
        for hook in hooks:
            hook.remove()
    return max(sizes)


def _scores(model: nn.Module, shape_CHW: Sequence[int], device: str) -> Tensor:
    """Return a model's scores for one image; without values if the device is "meta"."""
    was_training = model.training
    own = [*model.named_parameters(), *model.named_buffers()]
    try:
        with torch.no_grad():
            scores: Tensor = functional_call(
                model.eval(),
                {name: value.to(device) for name, value in own},
                torch.zeros(1, *shape_CHW, device=device),
            )
    finally:
        model.train(was_training)
    return scores


def _try(model: nn.Module, name: str, classes: int, side: int) -> None:
    """Raise ConfigurationError if a model cannot take images of this size."""
    device = "cpu" if side < LARGE_SIDE else "meta"  # the latter takes a second to import
    try:
        shape = _scores(model, (3, side, side), device).shape
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigurationError(
            f'model "{name}" cannot take images of {side}×{side}: '
            "give another --image-size or another --model"
        ) from error
    if shape != (1, classes):
        raise ConfigurationError(f'model "{name}" returns no score for each of {classes} classes')
