"""How labelled data are divided among workers, and how much their shares differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.errors import ConfigurationError

Indices = NDArray[np.int64]

_SHARDS_PER_WORKER = 2
_TRIES = 100


def partition(labels_N: Indices, workers: int, how: str, *, batch: int, seed: int) -> list[Indices]:
    """Divide images among workers; every image goes to exactly one.

    Args:
        labels_N: The label of every image.
        workers: How many workers there are.
        how: "iid", equal shares at random; "iid-unequal", random sizes; "dirichlet:ALPHA", each
            class divided in proportions drawn from a Dirichlet distribution, the more
            unequal the smaller ALPHA (Hsu et al., arXiv 1909.06335); "shards", images sorted by
            label and cut into two pieces per worker (McMahan et al., arXiv 1602.05629).
        batch: The fewest images that a worker may have.
        seed: Of the draws.

    Returns:
        The indices of each worker's images, ascending.

    Raises:
        ConfigurationError: If `how` is unknown, workers or batch are below 1, or a worker would
            have fewer images than a batch.
    """
    for what, number in (("workers", workers), ("batch", batch)):
        if number < 1:
            raise ConfigurationError(f"{what} {number} is not at least 1")
    images, name = len(labels_N), how.partition(":")[0]
    if workers > images:
        raise ConfigurationError(f"{workers} workers cannot share {images} images: lower --workers")
    if workers * batch > images:
        raise ConfigurationError(
            f"{images} images are not a batch of {batch} for each of {workers} workers: "
            "lower --batch or --workers"
        )
    draw = np.random.default_rng(seed)
    match name:
        case "iid" if name == how:
            shares = np.array_split(draw.permutation(images), workers)
        case "iid-unequal" if name == how:
            spare = images - workers * batch
            extra = np.floor(draw.dirichlet(np.ones(workers)) * spare).astype(np.int64)
            ends = np.cumsum(extra + batch)[:-1]
            shares = np.split(draw.permutation(images), ends)
        case "dirichlet":
            shares = _dirichlet(labels_N, workers, _alpha(how), batch, draw)
        case "shards" if name == how:
            # A stable sort of a shuffle: chance decides which images of a class share a
            # shard.
            shuffled = draw.permutation(images)
            by_label = shuffled[np.argsort(labels_N[shuffled], kind="stable")]
            shards = np.array_split(by_label, _SHARDS_PER_WORKER * workers)
            dealt = draw.permutation(len(shards)).reshape(workers, _SHARDS_PER_WORKER)
            shares = [np.concatenate([shards[shard] for shard in own]) for own in dealt]
        case _:
            raise ConfigurationError(
                f'unknown partition "{how}"; known: iid, iid-unequal, dirichlet:ALPHA, shards'
            )
    return [np.sort(share) for share in shares]


def skew(labels_N: Indices, shares: Sequence[Indices]) -> float:
    """Return how much the workers' labels differ, from 0, all alike, towards 1.

    That is the total variation distance between the labels of a worker and all labels, averaged
    over the workers.
    """
    classes = int(labels_N.max()) + 1
    overall = np.bincount(labels_N, minlength=classes) / len(labels_N)
    distances = [
        0.5 * np.abs(np.bincount(labels_N[own], minlength=classes) / len(own) - overall).sum()
        for own in shares
    ]
    return float(np.mean(distances))


def _dirichlet(
    labels_N: Indices, workers: int, alpha: float, batch: int, draw: np.random.Generator
) -> list[Indices]:
    """Divide one class after another, and redraw until every worker has a batch."""
    if not np.isfinite(alpha * workers):
        raise ConfigurationError(f"dirichlet:{alpha:g} is too large to draw from: lower ALPHA")
    for _ in range(_TRIES):
        dealt: list[list[Indices]] = [[] for _ in range(workers)]
        for label in np.unique(labels_N):
            members = draw.permutation(np.flatnonzero(labels_N == label))
            shares = np.cumsum(draw.dirichlet(np.full(workers, alpha)))[:-1]
            ends = np.floor(shares * len(members)).astype(np.int64)
            for own, part in zip(dealt, np.split(members, ends), strict=True):
                own.append(part)
        whole = [np.concatenate(own) for own in dealt]
        if min(map(len, whole)) >= batch:
            return whole
    raise ConfigurationError(
        f"dirichlet:{alpha:g} leaves a worker with fewer than {batch} images, in {_TRIES} draws: "
        "raise ALPHA, or lower --batch or --workers"
    )


def _alpha(how: str) -> float:
    try:
        alpha = float(how.partition(":")[2])
    except ValueError:
        alpha = 0.0
    if not 0.0 < alpha < np.inf:
        raise ConfigurationError(f'partition "{how}" needs a number above 0, as in dirichlet:0.1')
    return alpha
