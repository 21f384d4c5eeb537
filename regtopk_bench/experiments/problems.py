"""The problems of experiments: values that describe a workload and can make it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch

from regtopk_bench.results import Scalar
from regtopk_bench.workloads import LinearRegression, LogisticToy, Workload
from regtopk_bench.workloads.images import (
    ImageClassification,
    ImageData,
    build_model,
    partition,
    skew,
)


@dataclass(frozen=True)
class Instance:
    """A problem instantiated for a seed."""

    workload: Workload

    facts: Mapping[str, float] = field(default_factory=dict)
    """What a result reports about it besides the metrics."""


class Problem(Protocol):
    """What a cell needs of its problem: frozen, hashable, and instantiated for every seed."""

    def instance(self, seed: int) -> Instance:
        """Make the workload for a seed."""

    def record(self) -> dict[str, Scalar]:
        """Return everything that determines its numbers, with its name as `workload`."""


@dataclass(frozen=True, kw_only=True)
class RegressionProblem:
    """The paper's linear regression: see `LinearRegression.synthetic`."""

    workload: ClassVar[str] = "linreg"

    workers: int = 20
    samples: int = 500
    dim: int = 100
    mean_variance: float = 5.0
    model_variance: float = 1.0
    noise_variance: float = 0.5
    dtype: str = "float64"

    def instance(self, seed: int) -> Instance:
        """See `Problem.instance`."""
        drawn = dataclasses.asdict(self) | {"dtype": getattr(torch, self.dtype)}
        return Instance(LinearRegression.synthetic(**drawn, seed=seed))

    def record(self) -> dict[str, Scalar]:
        """See `Problem.record`."""
        return {"workload": self.workload, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class ToyProblem:
    """The paper's motivational example: see `LogisticToy`."""

    def instance(self, seed: int) -> Instance:
        """See `Problem.instance`."""
        return Instance(LogisticToy())

    def record(self) -> dict[str, Scalar]:
        """See `Problem.record`."""
        return {"workload": "toy"}


@dataclass(frozen=True, kw_only=True)
class ImageProblem:
    """A network on images divided among workers: see `ImageClassification`."""

    workload: ClassVar[str] = "cifar"

    data: ImageData = field(compare=False, repr=False)
    """The images; problems are told apart by their digest."""

    dataset: str
    """Where the images come from: "images" for real ones, or "synthetic"."""

    model: str = "cnn"
    weights: str = "none"
    freeze_backbone: bool = False
    workers: int = 8
    partition: str = "iid"
    weighting: str = "equal"
    batch: int = 20
    augment: bool = False
    amp: bool = False
    device: str = "cpu"

    images: str = field(init=False)
    """Digest of the images."""

    image_size: int = field(init=False)
    """Height and width in pixels."""

    def __post_init__(self) -> None:
        """Take digest and size from the images."""
        object.__setattr__(self, "images", self.data.digest)
        object.__setattr__(self, "image_size", self.data.side)

    def instance(self, seed: int) -> Instance:
        """See `Problem.instance`."""
        data, labels = self.data, self.data.train.labels_N.numpy()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build_model(
                self.model,
                classes=len(data.classes),
                side=data.side,
                weights=self.weights,
                freeze_backbone=self.freeze_backbone,
            )
        shares = partition(labels, self.workers, self.partition, batch=self.batch, seed=seed)
        sizes = torch.tensor([float(len(share)) for share in shares], dtype=torch.float64)
        workload = ImageClassification(
            data,
            model,
            shares,
            batch=self.batch,
            seed=seed,
            augment=self.augment,
            weights=sizes / sizes.sum() if self.weighting == "size" else None,
            device=self.device,
            amp=self.amp,
        )
        return Instance(workload, {"skew": skew(labels, shares)})

    def record(self) -> dict[str, Scalar]:
        """See `Problem.record`."""
        declared = (each.name for each in dataclasses.fields(self) if each.name != "data")
        facts: dict[str, Any] = {name: getattr(self, name) for name in declared}
        return {"workload": self.workload, **facts}
