"""Workers that train one network on their own images."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from regtopk_bench.workloads.base import Workload, in_shared_memory
from regtopk_bench.workloads.images.dataset import ImageData, Images

_MARGIN = 4
_TEST_BATCH = 500
_STATISTICS_BATCHES = 10
_STATISTICS_BATCH = 256


class ImageClassification(Workload):
    """The cross-entropy of a network, on a batch of each worker's images in each round.

    Which images a worker takes in a round, and how they are changed, follows from seed, worker
    and round alone, so that every algorithm sees the same, in any process. An epoch visits
    every image of a worker once, but for the last ones that do not fill a batch.
    """

    dtype = torch.float32

    def __init__(
        self,
        data: ImageData,
        model: nn.Module,
        shares: Sequence[NDArray[np.int64]],
        *,
        batch: int,
        seed: int = 0,
        augment: bool = True,
        weights: Tensor | None = None,
    ) -> None:
        """Set up the problem.

        Args:
            data: Images to train on and to test with.
            model: The network; the parameters that require a gradient are trained.
            shares: The indices of each worker's training images: see `partition`.
            batch: Images per worker and round, at most as many as the smallest share has.
            seed: Of batches and augmentation.
            augment: Whether to shift training images by up to 4 pixels and to mirror half of
                them.
            weights: ω, (N,), adding up to 1; equal when None.
        """
        self.workers = len(shares)
        self.weights_N = (
            torch.full((self.workers,), 1.0 / self.workers, dtype=torch.float64)
            if weights is None
            else weights
        )
        self._train, self._test, self._model = data.train, data.test, model
        self._shares, self._batch, self._seed, self._augment = shares, batch, seed, augment
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self.dim = sum(parameter.numel() for parameter in self._trained)
        # Of one image in ten: precise enough to centre and scale by.
        sampled_NCHW = data.train.pixels_NCHW[::10].float()
        self._mean_C11 = sampled_NCHW.mean(dim=(0, 2, 3))[:, None, None]
        self._scale_C11 = sampled_NCHW.std(dim=(0, 2, 3))[:, None, None].clamp(min=1.0)

    def initial_parameters(self, seed: int) -> Tensor:
        """Return the parameters that the network was built with, whatever the seed."""
        return torch.cat([parameter.detach().flatten() for parameter in self._trained])

    def batch(self, worker: int, round: int) -> tuple[Tensor, Tensor]:
        """Return what a worker trains on in a round: images (B, C, H, W) and labels (B,)."""
        share = self._shares[worker]
        epoch, position = divmod(round, len(share) // self._batch)
        order = self._order(worker, epoch)
        chosen = torch.from_numpy(share[order[position * self._batch :][: self._batch]])
        pixels_BCHW = self._train.pixels_NCHW[chosen]
        if self._augment:
            pixels_BCHW = _augmented(pixels_BCHW, [self._seed, worker, round])
        return self._scaled(pixels_BCHW), self._train.labels_N[chosen]

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return the gradient of each worker's mean loss over its batch, (n, J)."""
        self._set(parameters_J)
        self._model.train()
        grads_nJ = torch.empty(len(workers), self.dim)
        for row_J, worker in zip(grads_nJ, workers, strict=True):
            images, labels = self.batch(worker, round)
            loss = cross_entropy(self._model(images), labels)
            grads = torch.autograd.grad(loss, self._trained)
            torch.cat([grad.flatten() for grad in grads], out=row_J)
        return grads_nJ

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """Return accuracy and mean loss over all test images.

        A network with batch normalisation is given statistics of 2,560 training images first:
        workers share none.
        """
        accuracy_T, loss_T = np.empty(len(parameters_TJ)), np.empty(len(parameters_TJ))
        for t, parameters_J in enumerate(parameters_TJ):
            self._set(parameters_J)
            self._measure_statistics()
            accuracy_T[t], loss_T[t] = self._evaluate(self._test)
        return {"accuracy": accuracy_T, "loss": loss_T}

    @torch.no_grad()
    def _evaluate(self, images: Images) -> tuple[float, float]:
        self._model.eval()
        right, loss = 0, 0.0
        for start in range(0, len(images), _TEST_BATCH):
            part = slice(start, start + _TEST_BATCH)
            labels = images.labels_N[part]
            scores = self._model(self._scaled(images.pixels_NCHW[part]))
            right += int((scores.argmax(dim=1) == labels).sum())
            loss += float(cross_entropy(scores, labels, reduction="sum"))
        return right / len(images), loss / len(images)

    @torch.no_grad()
    def _measure_statistics(self) -> None:
        """Let batch normalisation, if there is any, average over the same images every time."""
        normalisations = [
            layer for layer in self._model.modules() if isinstance(layer, nn.BatchNorm2d)
        ]
        if not normalisations:
            return
        momenta = [layer.momentum for layer in normalisations]
        for layer in normalisations:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean
        self._model.train()
        step = max(1, len(self._train) // (_STATISTICS_BATCHES * _STATISTICS_BATCH))
        chosen = self._train.pixels_NCHW[::step][: _STATISTICS_BATCHES * _STATISTICS_BATCH]
        for pixels_BCHW in chosen.split(_STATISTICS_BATCH):
            if len(pixels_BCHW) > 1:
                self._model(self._scaled(pixels_BCHW))
        for layer, momentum in zip(normalisations, momenta, strict=True):
            layer.momentum = momentum

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - as long as the workload, by design
    def _order(self, worker: int, epoch: int) -> NDArray[np.int64]:
        """Return in which order a worker visits its images in an epoch."""
        draw = np.random.default_rng([self._seed, worker, epoch, 0])
        return draw.permutation(len(self._shares[worker]))

    def _set(self, parameters_J: Tensor) -> None:
        """Let the network use a flat vector, without a copy."""
        start = 0
        for parameter in self._trained:
            stop = start + parameter.numel()
            parameter.data = parameters_J[start:stop].view_as(parameter)
            start = stop

    def _scaled(self, pixels_BCHW: Tensor) -> Tensor:
        return pixels_BCHW.float().sub_(self._mean_C11).div_(self._scale_C11)

    def __getstate__(self) -> dict[str, Any]:
        """Let the processes of a pool map the images instead of copying them."""
        for name in ("_train", "_test"):
            images: Images = getattr(self, name)
            setattr(self, name, Images(in_shared_memory(images.pixels_NCHW), images.labels_N))
        for parameter in self._trained:  # views of one vector would each take all of it along
            parameter.data = parameter.data.clone()
        return self.__dict__


def _augmented(pixels_BCHW: Tensor, seed: list[int]) -> Tensor:
    """Shift images by up to 4 pixels, zeros coming in, and mirror about half of them."""
    draw = np.random.default_rng([*seed, 1])
    count, _, height, width = pixels_BCHW.shape
    shifts = draw.integers(0, 2 * _MARGIN + 1, (count, 2))
    mirrored = draw.random(count) < 0.5
    padded = pad(pixels_BCHW, (_MARGIN,) * 4)
    changed = torch.empty_like(pixels_BCHW)
    for image, (down, right), mirror in zip(range(count), shifts, mirrored, strict=True):
        cut = padded[image, :, down : down + height, right : right + width]
        changed[image] = cut.flip(-1) if mirror else cut
    return changed
