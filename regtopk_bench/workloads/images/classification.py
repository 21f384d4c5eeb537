"""Workers that train one network on their own images."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from regtopk_bench.shared import in_shared_memory
from regtopk_bench.threads import available_cores
from regtopk_bench.workloads.base import Scalar, digest, equal_weights
from regtopk_bench.workloads.images.augmentation import augmented
from regtopk_bench.workloads.images.checks import check_memory, check_shares, check_weights
from regtopk_bench.workloads.images.dataset import ImageData, Images
from regtopk_bench.workloads.network import (
    STATISTICS_BATCH,
    STATISTICS_BATCHES,
    NetworkWorkload,
)

_TEST_BATCH = 250
_SAMPLED = 10
"""One image in so many is precise enough to centre and scale by."""


class ImageClassification(NetworkWorkload):
    """The cross-entropy of a network, on a batch of each worker's images in each round.

    See `NetworkWorkload` for batches, dropout and batch normalisation. How images are augmented
    depends only on seed, worker and round, too.
    """

    dtypes = (torch.float32,)

    def __init__(
        self,
        data: ImageData,
        model: nn.Module,
        shares: Sequence[NDArray[np.int64]],
        *,
        batch: int,
        seed: int = 0,
        augment: bool = False,
        weights: Tensor | None = None,
        device: torch.device | str = "cpu",
        amp: bool = False,
    ) -> None:
        """Set up the problem.

        Args:
            data: Images to train on and to test with.
            model: The network, float32; the parameters that require a gradient are trained.
            shares: The indices of each worker's training images: see `partition`.
            batch: Images per worker and step, at most the size of the smallest share.
            seed: Of batches, augmentation and dropout.
            augment: Whether to shift training images by up to 4 pixels and to mirror half of
                them.
            weights: ω, (N,), adding up to 1; equal when None.
            device: Where images live and gradients are computed: one worker at a time on a CPU,
                all workers together elsewhere.
            amp: Compute in bfloat16 where autocast finds it safe; parameters stay float32.

        Raises:
            ConfigurationError: If shares, batch, weights or the model's parameters do not fit, or
                memory is too small for images of this size.
        """
        check_shares(shares, batch, len(data.train))
        if weights is not None:
            check_weights(weights, len(shares))
        self.workers, self.device = len(shares), torch.device(device)
        if self.device.type == "cpu":
            at_once = max(batch, min(len(data.test), _TEST_BATCH * available_cores()))
            check_memory(model, data.train.pixels_NCHW, len(data.train) // _SAMPLED, at_once)
        self.weights_N = equal_weights(self.workers) if weights is None else weights
        self._train, self._test = (
            Images(part.pixels_NCHW.to(self.device), part.labels_N.to(self.device))
            for part in (data.train, data.test)
        )
        self._images_digest = data.digest
        self._shares, self._augment, self._amp = shares, augment, amp
        super().__init__(model.to(self.device), [len(share) for share in shares], batch, seed)
        sampled_NCHW = data.train.pixels_NCHW[::_SAMPLED].float()
        mean_C, scale_C = sampled_NCHW.mean(dim=(0, 2, 3)), sampled_NCHW.std(dim=(0, 2, 3))
        self._mean_C11 = mean_C[:, None, None].to(self.device)
        self._scale_C11 = scale_C.clamp(min=1.0)[:, None, None].to(self.device)

    @property
    def identity(self) -> dict[str, Scalar]:
        """See `Workload.identity`; the network's code counts only as shown by its `repr`."""
        return super().identity | {
            "images": self._images_digest,
            "batch": self._batch,
            "seed": self._seed,
            "augment": self._augment,
            "amp": self._amp,
            "shares": digest(*self._shares),
            **self.network_digests,
        }

    def batch(self, worker: int, step: int) -> tuple[Tensor, Tensor]:
        """Return a worker's batch in a step: images (B, C, H, W) and labels (B,)."""
        return self._batches(range(worker, worker + 1), step)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return the gradient of each worker's mean loss over its batch, (n, J)."""
        if self.device.type == "cpu":
            return super().gradients(parameters_J, workers, round)
        self._prepare_to_train()
        with self._forked_generators():
            return self._together(parameters_J, workers, round)

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """Return accuracy and mean loss over all test images, in evaluation mode."""
        accuracy_T, loss_T = np.empty(len(parameters_TJ)), np.empty(len(parameters_TJ))
        for t, parameters_J in enumerate(parameters_TJ):
            self._set(parameters_J)
            self._measure_statistics()
            accuracy_T[t], loss_T[t] = self._evaluate(self._test)
        return {"accuracy": accuracy_T, "loss": loss_T}

    def _batches(self, workers: range, step: int) -> tuple[Tensor, Tensor]:
        """Return some workers' batches, concatenated, with the kernel launches of one batch."""
        chosen = [self._shares[worker][self._positions(worker, step)] for worker in workers]
        chosen_B = torch.from_numpy(np.concatenate(chosen)).to(self.device)
        pixels_BCHW = self._train.pixels_NCHW[chosen_B]
        if self._augment:
            seeds = [[self._seed, worker, step, 1] for worker in workers]
            pixels_BCHW = augmented(pixels_BCHW, seeds)
        return self._scaled(pixels_BCHW), self._train.labels_N[chosen_B]

    def _together(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Compute all workers' gradients with the kernel launches of one."""
        images, labels = self._batches(workers, round)
        images_nBCHW = images.unflatten(0, (len(workers), self._batch))
        labels_nB = labels.unflatten(0, (len(workers), self._batch))
        self._seed_dropout(workers.start, round)

        def loss(parameters: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
            return self._loss(
                functools.partial(functional_call, self._model, parameters), images, labels
            )

        named = dict(zip(self._trained, self._views(parameters_J), strict=True))
        of_each = vmap(grad(loss), in_dims=(None, 0, 0), randomness="different")
        grads = of_each(named, images_nBCHW, labels_nB)
        return torch.cat([grads[name].flatten(1) for name in self._trained], dim=1)

    def _loss(self, network: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
            return cross_entropy(network(inputs), targets)

    def _inputs_to_measure(self) -> Iterator[Tensor]:
        step = max(1, len(self._train) // (STATISTICS_BATCHES * STATISTICS_BATCH))
        chosen = self._train.pixels_NCHW[::step][: STATISTICS_BATCHES * STATISTICS_BATCH]
        for pixels_BCHW in chosen.split(STATISTICS_BATCH):
            yield self._scaled(pixels_BCHW)

    def _evaluate(self, images: Images) -> tuple[float, float]:
        """Return accuracy and mean loss; the same bits for any number of cores."""
        self._model.eval()
        batches = list(
            zip(
                images.pixels_NCHW.split(_TEST_BATCH),
                images.labels_N.split(_TEST_BATCH),
                strict=True,
            )
        )
        if self.device.type == "cpu":
            one_thread = functools.partial(torch.set_num_threads, 1)
            with ThreadPoolExecutor(available_cores(), initializer=one_thread) as threads:
                results = list(threads.map(lambda batch: self._score(*batch), batches))
        else:
            results = [self._score(*batch) for batch in batches]
        right, loss = (sum(parts) for parts in zip(*results, strict=True))
        return right / len(images), loss / len(images)

    @torch.no_grad()
    def _score(self, pixels_BCHW: Tensor, labels: Tensor) -> tuple[int, float]:
        """Return how many images are classified correctly, and the sum of all losses."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
            scores = self._model(self._scaled(pixels_BCHW)).float()
        loss = cross_entropy(scores, labels, reduction="sum")
        return int((scores.argmax(dim=1) == labels).sum()), float(loss)

    def _scaled(self, pixels_BCHW: Tensor) -> Tensor:
        images = pixels_BCHW.float().sub_(self._mean_C11).div_(self._scale_C11)
        return images.contiguous(memory_format=torch.channels_last)

    def __getstate__(self) -> dict[str, Any]:
        """Let the processes of a pool map the images instead of copying them."""
        for name in ("_train", "_test"):
            images: Images = getattr(self, name)
            setattr(self, name, Images(in_shared_memory(images.pixels_NCHW), images.labels_N))
        return super().__getstate__()
