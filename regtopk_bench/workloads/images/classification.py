"""Workers that train one network on their own images."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy, pad
from torch.nn.modules.batchnorm import _BatchNorm

from regtopk_bench.threads import available_cores
from regtopk_bench.workloads.base import Workload, equal_weights, in_shared_memory
from regtopk_bench.workloads.images.dataset import ImageData, Images

_MARGIN = 4
_TEST_BATCH = 250
_STATISTICS_BATCHES = 10
_STATISTICS_BATCH = 256


class ImageClassification(Workload):
    """The cross-entropy of a network, on a batch of each worker's images in each round.

    Which images a worker takes in a round, how they are changed and what dropout drops follows
    from seed, worker and round alone, so that every algorithm sees the same, in any process. An
    epoch visits every image of a worker once, but for the last ones that do not fill a batch.

    Batch normalisation uses the statistics of each worker's own batch in training. Workers share
    none; for an evaluation they are measured anew, on 2,560 training images that are the same
    every time. Layers that are not trained keep the statistics that they came with.
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
        augment: bool = False,
        weights: Tensor | None = None,
        device: torch.device | str = "cpu",
        amp: bool = False,
    ) -> None:
        """Set up the problem.

        Args:
            data: Images to train on and to test with.
            model: The network; the parameters that require a gradient are trained.
            shares: The indices of each worker's training images: see `partition`.
            batch: Images per worker and step, at most as many as the smallest share has.
            seed: Of batches, augmentation and dropout.
            augment: Whether to shift training images by up to 4 pixels and to mirror half of
                them.
            weights: ω, (N,), adding up to 1; equal when None.
            device: Where images live and gradients are computed: one worker at a time on a CPU,
                all workers together elsewhere.
            amp: Compute in bfloat16 where autocast finds it safe; parameters stay float32.
        """
        self.workers, self.device = len(shares), torch.device(device)
        self.weights_N = equal_weights(self.workers) if weights is None else weights
        self._train, self._test = (
            Images(part.pixels_NCHW.to(self.device), part.labels_N.to(self.device))
            for part in (data.train, data.test)
        )
        self._model = model.to(self.device)
        self._shares, self._batch, self._seed = shares, batch, seed
        self._augment, self._amp = augment, amp
        self._sides = (data.train.pixels_NCHW.shape[2], data.train.pixels_NCHW.shape[3])
        self._trained = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        self.layer_dims = tuple(parameter.numel() for parameter in self._trained.values())
        self.dim = sum(self.layer_dims)
        self._initial_J = torch.cat([own.detach().flatten() for own in self._trained.values()])
        layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
        self._frozen = [layer for layer in layers if not _is_trained(layer)]
        self._normalising = [layer for layer in layers if _is_trained(layer)]
        for layer in layers:
            layer.track_running_stats = False  # but while they are measured
        # Of one image in ten: precise enough to centre and scale by.
        sampled_NCHW = data.train.pixels_NCHW[::10].float()
        mean_C, scale_C = sampled_NCHW.mean(dim=(0, 2, 3)), sampled_NCHW.std(dim=(0, 2, 3))
        self._mean_C11 = mean_C[:, None, None].to(self.device)
        self._scale_C11 = scale_C.clamp(min=1.0)[:, None, None].to(self.device)

    def initial_parameters(self, seed: int) -> Tensor:
        """Return the parameters that the network was built with, whatever the seed."""
        return self._initial_J.clone()

    def batch(self, worker: int, step: int) -> tuple[Tensor, Tensor]:
        """Return what a worker trains on in a step: images (B, C, H, W) and labels (B,)."""
        return self._batches(range(worker, worker + 1), step)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return the gradient of each worker's mean loss over its batch, (n, J)."""
        self._prepare_to_train()
        on_cpu = self.device.type == "cpu"
        with torch.random.fork_rng([] if on_cpu else [self.device]):
            if on_cpu:
                return self._one_by_one(parameters_J, workers, round)
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
        """Return the batches of some workers one after the other, with the launches of one."""
        chosen = np.concatenate([self._chosen(worker, step) for worker in workers])
        chosen_B = torch.from_numpy(chosen).to(self.device)
        pixels_BCHW = self._train.pixels_NCHW[chosen_B]
        if self._augment:
            changes = [
                _changes([self._seed, worker, step, 1], self._batch, self._sides)
                for worker in workers
            ]
            rows_BH, columns_BW = (
                torch.from_numpy(np.concatenate(each)).to(self.device)
                for each in zip(*changes, strict=True)
            )
            pixels_BCHW = _augmented(pixels_BCHW, rows_BH, columns_BW)
        return self._scaled(pixels_BCHW), self._train.labels_N[chosen_B]

    def _chosen(self, worker: int, step: int) -> NDArray[np.int64]:
        """Return which images a worker takes in a step, (B,)."""
        share = self._shares[worker]
        epoch, position = divmod(step, len(share) // self._batch)
        order = self._order(worker, epoch)
        return share[order[position * self._batch :][: self._batch]]

    def _one_by_one(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Compute gradients in the order in which a CPU's caches like it."""
        self._set(parameters_J)
        grads_nJ = torch.empty(len(workers), self.dim)
        for row_J, worker in zip(grads_nJ, workers, strict=True):
            images, labels = self.batch(worker, round)
            self._seed_dropout(worker, round)
            loss = self._loss(self._model, images, labels)
            grads = torch.autograd.grad(loss, list(self._trained.values()))
            torch.cat([grad.flatten() for grad in grads], out=row_J)
        return grads_nJ

    def _together(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Compute all workers' gradients with the launches of one."""
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

    def _loss(self, network: Any, images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
            return cross_entropy(network(images), labels)

    def _seed_dropout(self, worker: int, round: int) -> None:
        (state,) = np.random.SeedSequence([self._seed, worker, round, 2]).generate_state(1)
        torch.manual_seed(int(state))

    def _prepare_to_train(self) -> None:
        self._model.train()
        for layer in self._frozen:
            layer.eval()

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
        """Return how many images are recognised, and the sum of their losses."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
            scores = self._model(self._scaled(pixels_BCHW)).float()
        loss = cross_entropy(scores, labels, reduction="sum")
        return int((scores.argmax(dim=1) == labels).sum()), float(loss)

    @torch.no_grad()
    def _measure_statistics(self) -> None:
        """Let batch normalisation, if there is any, average over the same images every time."""
        if not self._normalising:
            return
        self._prepare_to_train()
        momenta = [layer.momentum for layer in self._normalising]
        for layer in self._normalising:
            layer.track_running_stats = True
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean
        step = max(1, len(self._train) // (_STATISTICS_BATCHES * _STATISTICS_BATCH))
        chosen = self._train.pixels_NCHW[::step][: _STATISTICS_BATCHES * _STATISTICS_BATCH]
        with torch.random.fork_rng([] if self.device.type == "cpu" else [self.device]):
            self._seed_dropout(0, 0)
            for pixels_BCHW in chosen.split(_STATISTICS_BATCH):
                if len(pixels_BCHW) > 1:
                    self._model(self._scaled(pixels_BCHW))
        for layer, momentum in zip(self._normalising, momenta, strict=True):
            layer.momentum, layer.track_running_stats = momentum, False

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - as long as the workload, by design
    def _order(self, worker: int, epoch: int) -> NDArray[np.int64]:
        """Return in which order a worker visits its images in an epoch."""
        draw = np.random.default_rng([self._seed, worker, epoch, 0])
        return draw.permutation(len(self._shares[worker]))

    def _views(self, parameters_J: Tensor) -> list[Tensor]:
        """Return a flat vector as the tensors of the network, without a copy."""
        parts = parameters_J.split(self.layer_dims)
        return [part.view_as(own) for part, own in zip(parts, self._trained.values(), strict=True)]

    def _set(self, parameters_J: Tensor) -> None:
        """Let the network use a flat vector."""
        views = self._views(parameters_J)
        for parameter, view in zip(self._trained.values(), views, strict=True):
            parameter.data = view

    def _scaled(self, pixels_BCHW: Tensor) -> Tensor:
        images = pixels_BCHW.float().sub_(self._mean_C11).div_(self._scale_C11)
        return images.contiguous(memory_format=torch.channels_last)

    def __getstate__(self) -> dict[str, Any]:
        """Let the processes of a pool map the images instead of copying them."""
        for name in ("_train", "_test"):
            images: Images = getattr(self, name)
            setattr(self, name, Images(in_shared_memory(images.pixels_NCHW), images.labels_N))
        for parameter in self._trained.values():  # views of a vector would each take all of it
            parameter.data = parameter.data.clone()
        return self.__dict__


def _is_trained(layer: _BatchNorm) -> bool:
    return layer.weight is None or layer.weight.requires_grad


def _changes(
    seed: list[int], count: int, sides: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw which rows and columns of padded images to take: shifted, half of them mirrored."""
    draw = np.random.default_rng(seed)
    height, width = sides
    down_B1, right_B1 = draw.integers(0, 2 * _MARGIN + 1, (2, count, 1))
    mirrored_B1 = draw.random((count, 1)) < 0.5
    columns_W = np.arange(width)
    return (
        down_B1 + np.arange(height),
        right_B1 + np.where(mirrored_B1, columns_W[::-1], columns_W),
    )


def _augmented(pixels_BCHW: Tensor, rows_BH: Tensor, columns_BW: Tensor) -> Tensor:
    """Take rows and columns of images that are padded with zeros."""
    padded_BHWC = pad(pixels_BCHW, (_MARGIN,) * 4).permute(0, 2, 3, 1)
    images_B = torch.arange(len(pixels_BCHW), device=pixels_BCHW.device)
    changed_BHWC = padded_BHWC[images_B[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]
    return changed_BHWC.permute(0, 3, 1, 2)
