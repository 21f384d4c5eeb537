"""The panel Problem: what is trained on, or timed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from regtopk_bench.settings.declare import Group, setting
from regtopk_bench.settings.kinds import (
    Count,
    Density,
    FileOrFolder,
    Folder,
    Name,
    NameOrPath,
    NonNegative,
    Positive,
)
from regtopk_bench.settings.paths import CACHE

Dtype = Literal["float32", "float64"]


@dataclass(frozen=True, kw_only=True)
class ProblemSettings(Group, panel="Problem", decides=True):
    """Settings of every problem with simulated workers."""

    workers: Count = setting(20, "Number of simulated workers, N.", short="-n")


@dataclass(frozen=True, kw_only=True)
class LinregProblemSettings(ProblemSettings):
    """Distributed linear regression, by default in the paper's setting."""

    samples: Count = setting(500, "Data points per worker, D.")
    dim: Count = setting(100, "Number of parameters, J.")
    mean_variance: NonNegative = setting(
        5.0, "Variance of the mean of each worker's model: how much workers disagree."
    )
    model_variance: NonNegative = setting(1.0, "Variance of a model's entries around its mean.")
    noise_variance: NonNegative = setting(0.5, "Variance of the noise on targets.")
    dtype: Dtype = setting("float64", "Precision of data and gradients: {choices}.")


@dataclass(frozen=True, kw_only=True)
class ImageProblemSettings(ProblemSettings):
    """A network that classifies images, trained by workers that each have their own.

    Where images come from and where they are kept is irrelevant: their digest counts.
    """

    dataset: Literal["cifar10", "synthetic"] = setting(
        "cifar10", "Images if --data is not given: cifar10, fetched once; synthetic, generated."
    )
    data: FileOrFolder | None = setting(
        None,
        "Images: a cifar-10-batches-py folder, a folder with train/ and test/ or val/, or an "
        "archive of either.",
        decides=False,
    )
    image_size: Count | None = setting(
        None, "Height and width to resize images to; by default, they keep their size."
    )
    cache: Folder = setting(
        CACHE,
        "Folder for what is fetched, unpacked and decoded.",
        decides=False,
    )
    unpacked_limit: Positive = setting(
        100.0, "GiB that an archive may unpack to, to be safe from bombs.", decides=False
    )
    model: Name = setting(
        "cnn",
        "Network: cnn, resnet18 (with the stem for small images), or any of torchvision's by name.",
        short="-m",
    )
    weights: NameOrPath = setting(
        "none", "Weights to start from: none, imagenet (torchvision's), or a file."
    )
    freeze_backbone: bool = setting(False, "Train the classifier only.")
    partition: Name = setting(
        "iid", "How images are divided among workers: iid, iid-unequal, dirichlet:ALPHA, shards."
    )
    weighting: Literal["equal", "size"] = setting(
        "equal", "Share ω of a worker in the aggregate: equal; size, in proportion to its data."
    )
    batch: Count = setting(20, "Images per worker and step.", short="-b")
    augment: bool = setting(False, "Shift and mirror training images at random.")


@dataclass(frozen=True, kw_only=True)
class KernelsProblemSettings(Group, panel="Problem", decides=True):
    """Data that kernels are timed on."""

    size: tuple[Count, ...] = setting(
        (1_000_000, 11_170_000, 25_600_000), "Number of parameters, J, repeatable.", short="-n"
    )
    density: tuple[Density, ...] = setting(
        (0.001, 0.01, 0.1), "Fraction of entries selected, k/J, repeatable.", short="-d"
    )
    distribution: tuple[Literal["normal", "heavy", "ties", "constant", "replay"], ...] = setting(
        ("normal",), "Data, repeatable: {choices}."
    )
    dtype: Dtype = setting("float32", "Precision of the data: {choices}.")
