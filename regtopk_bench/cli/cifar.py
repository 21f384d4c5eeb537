"""`regtopk-bench cifar`: networks that classify images, trained by simulated workers."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regtopk_bench.cli.algorithms import Configured, configured
from regtopk_bench.cli.device import choose_device
from regtopk_bench.cli.experiment import Cell, Experiment
from regtopk_bench.cli.invocation import Invocation
from regtopk_bench.cli.progress import Counted
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.results import Result, Scalar, store
from regtopk_bench.settings import CifarSettings, continued
from regtopk_bench.sparsify import PerLayer, Sparsifier
from regtopk_bench.training import Schedule, simulate
from regtopk_bench.workloads.images import (
    ImageClassification,
    ImageData,
    build_model,
    load_images,
    partition,
    skew,
    synthetic_images,
)

_COMMAND = "cifar"
_SYNTHETIC_SIDE = 32
_PROBLEM = (
    "model",
    "weights",
    "freeze_backbone",
    "workers",
    "partition",
    "weighting",
    "batch",
    "augment",
)
_TRAINING = (
    "rounds",
    "learning_rate",
    "schedule",
    "warm_up",
    "momentum",
    "weight_decay",
    "local_steps",
    "evaluate_every",
    "scope",
    "amp",
)
# What may change when a run is resumed: nothing here decides about its numbers. (Images may have
# moved: their digest is compared.)
_FREE = (
    "data",
    "cache",
    "processes",
    "checkpoint_every",
    "resume",
    "target",
    "output",
    "save",
    "format",
    "plot_format",
)


def run_cifar(invocation: Invocation) -> None:
    """Run every algorithm at every density on every seed."""
    resumed = None
    if invocation.resolved.settings.resume:
        path = Path(invocation.resolved.settings.resume)
        result = _resumable(path)
        before = {name: setting.value for name, setting in result.settings.items()}
        resolved = continued(_COMMAND, invocation.resolved, before, _FREE)
        invocation = dataclasses.replace(invocation, resolved=resolved)
        resumed = (path if path.is_dir() else path.parent, result)
    settings: CifarSettings = invocation.resolved.settings
    device = choose_device(settings.device)
    data = _images(invocation, settings)
    plan = list(configured(settings))
    Experiment(invocation, _COMMAND, resumed).run(
        _cells(settings, plan, data, device),
        len(plan) * len(settings.seeds) * settings.rounds,
        checkpoint_every=settings.checkpoint_every,
        unit="images",
        per_round=settings.workers * settings.batch * settings.local_steps,
    )


def _resumable(path: Path) -> Result:
    """Read the result of a run that is to be resumed."""
    result = store.read(path)
    if result.command != _COMMAND:
        raise ConfigurationError(f"{path} is a run of {result.command}, not of {_COMMAND}")
    return result


def _images(invocation: Invocation, settings: CifarSettings) -> ImageData:
    """Read, fetch or make the images."""
    if settings.data is None and settings.dataset == "synthetic":
        return synthetic_images(side=settings.image_size or _SYNTHETIC_SIDE)
    path = Path(settings.data).expanduser() if settings.data else None
    started = time.monotonic()
    with Counted(invocation.err, 1, "images") as progress:
        progress.begin("decoding", 0)

        def show(done: int, total: int) -> None:
            progress.total = total
            progress.update(done)

        watched = invocation.err.is_terminal and not invocation.quiet
        data = load_images(
            path,
            Path(settings.cache).expanduser(),
            side=settings.image_size,
            on_images=show if watched else None,
        )
    height, width = data.train.pixels_NCHW.shape[2:]
    if height != width:
        raise ConfigurationError(
            f"images have {width}×{height} pixels, and networks want squares: give --image-size"
        )
    if invocation.verbose:
        invocation.note(
            f"{len(data.train)} images to train on, {len(data.test)} to test with, "
            f"{len(data.classes)} classes, in {time.monotonic() - started:.1f} s"
        )
    return data


def _cells(
    settings: CifarSettings, plan: Sequence[Configured], data: ImageData, device: str
) -> Iterator[Cell]:
    shared: dict[str, Scalar] = {
        "dataset": "synthetic" if _made_up(settings) else "images",
        "images": data.digest,
        "image_size": data.side,
    }
    shared |= {name: getattr(settings, name) for name in (*_PROBLEM, *_TRAINING)}
    shared["device"] = device
    training: dict[str, Any] = {
        name: getattr(settings, name)
        for name in (
            "rounds",
            "learning_rate",
            "momentum",
            "weight_decay",
            "local_steps",
            "evaluate_every",
            "processes",
        )
    }
    training["schedule"] = Schedule(shape=settings.schedule, warm_up=settings.warm_up)  # type: ignore[arg-type]
    for seed in settings.seeds:
        workload, unlikeness = _workload(settings, data, device, seed)
        for each in plan:
            configuration = each.cell(seed, workload.dim) | shared | {"dim": workload.dim}
            sparsifier: Sparsifier = each.make(seed)
            if settings.scope == "layer" and configuration["density"] != 1.0:
                sparsifier = PerLayer(sparsifier, workload.layer_dims)
            yield Cell(
                configuration,
                settings.rounds,
                functools.partial(simulate, workload, sparsifier, seed=seed, **training),
                {"skew": unlikeness},
            )


def _made_up(settings: CifarSettings) -> bool:
    return settings.data is None and settings.dataset == "synthetic"


def _workload(
    settings: CifarSettings, data: ImageData, device: str, seed: int
) -> tuple[ImageClassification, float]:
    """Return the problem of a seed, and how unlike its workers' labels are."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(
            settings.model,
            classes=len(data.classes),
            side=data.side,
            weights=settings.weights,
            freeze_backbone=settings.freeze_backbone,
        )
    labels = data.train.labels_N.numpy()
    shares = partition(
        labels, settings.workers, settings.partition, batch=settings.batch, seed=seed
    )
    weights_N: Tensor | None = None
    if settings.weighting == "size":
        sizes = torch.tensor([float(len(share)) for share in shares], dtype=torch.float64)
        weights_N = sizes / sizes.sum()
    workload = ImageClassification(
        data,
        model,
        shares,
        batch=settings.batch,
        seed=seed,
        augment=settings.augment,
        weights=weights_N,
        device=device,
        amp=settings.amp,
    )
    return workload, skew(labels, shares)
