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
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from regtopk_bench.shared import in_shared_memory
from regtopk_bench.threads import available_cores
from regtopk_bench.workloads.base import (
    Scalar,
    Workload,
    digest,
    equal_weights,
    text_digest,
)
from regtopk_bench.workloads.images.augmentation import augmented
from regtopk_bench.workloads.images.checks import (
    check_memory,
    check_shares,
    check_trained,
    check_weights,
)
from regtopk_bench.workloads.images.dataset import ImageData, Images

_TEST_BATCH = 250
_STATISTICS_BATCHES = 10
_STATISTICS_BATCH = 256
_SAMPLED = 10
"""One image in so many is precise enough to centre and scale by."""


class ImageClassification(Workload):
    """The cross-entropy of a network, on a batch of each worker's images in each round.

    Which images a worker takes in a round, how they are augmented and what dropout drops depend
    only on seed, worker and round, so every algorithm sees the same, in any process. In an
    epoch a worker visits each of its images once, except for the last ones that do not fill a
    batch.

    In training, batch normalisation uses the statistics of each worker's own batch. Workers
    share none; before an evaluation statistics are measured on 2,560 training images, the same
    every time. Frozen layers keep the statistics that they came with.
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
        self._model = model.to(self.device)
        self._shares, self._batch, self._seed = shares, batch, seed
        self._augment, self._amp = augment, amp
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}
        self._trained = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        check_trained(self._trained)
        self.dim = sum(parameter.numel() for parameter in self._trained.values())
        self._initial_J = torch.cat([own.detach().flatten() for own in self._trained.values()])
        layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
        self._frozen = [layer for layer in layers if not _is_trained(layer)]
        self._normalising = [layer for layer in layers if _is_trained(layer)]
        for layer in layers:
            layer.track_running_stats = False  # except while they are measured
        sampled_NCHW = data.train.pixels_NCHW[::_SAMPLED].float()
        mean_C, scale_C = sampled_NCHW.mean(dim=(0, 2, 3)), sampled_NCHW.std(dim=(0, 2, 3))
        self._mean_C11 = mean_C[:, None, None].to(self.device)
        self._scale_C11 = scale_C.clamp(min=1.0)[:, None, None].to(self.device)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parameters that are trained, in the network's order."""
        return tuple(tuple(parameter.shape) for parameter in self._trained.values())

    @property
    def identity(self) -> dict[str, Scalar]:
        """See `Workload.identity`; the network's code counts only as shown by its `repr`."""
        return super().identity | {
            "images": self._images_digest,
            "batch": self._batch,
            "seed": self._seed,
            "augment": self._augment,
            "amp": self._amp,
            **self._digests,
        }

    @functools.cached_property
    def _digests(self) -> dict[str, Scalar]:
        """Digests of the workers' shares, the network and its initial values."""
        parameters = dict(self._model.named_parameters())
        shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
        fixed: list[Tensor] = [parameters[name] for name in shapes if name not in self._trained]
        fixed += [buffer for layer in self._frozen for buffer in layer.buffers()]
        return {
            "shares": digest(*self._shares),
            "model": text_digest(f"{self._model!r}{shapes}{list(self._trained)}"),
            "initial_values": digest(self._initial_J, *fixed),
        }

    def initial_parameters(self, seed: int) -> Tensor:
        """Return the parameters that the network came with, whatever the seed."""
        return self._initial_J.clone()

    def batch(self, worker: int, step: int) -> tuple[Tensor, Tensor]:
        """Return a worker's batch in a step: images (B, C, H, W) and labels (B,)."""
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
        """Return some workers' batches, concatenated, with the kernel launches of one batch."""
        chosen = np.concatenate([self._chosen(worker, step) for worker in workers])
        chosen_B = torch.from_numpy(chosen).to(self.device)
        pixels_BCHW = self._train.pixels_NCHW[chosen_B]
        if self._augment:
            seeds = [[self._seed, worker, step, 1] for worker in workers]
            pixels_BCHW = augmented(pixels_BCHW, seeds)
        return self._scaled(pixels_BCHW), self._train.labels_N[chosen_B]

    def _chosen(self, worker: int, step: int) -> NDArray[np.int64]:
        """Return which images a worker takes in a step, (B,)."""
        share = self._shares[worker]
        epoch, position = divmod(step, len(share) // self._batch)
        order = self._order(worker, epoch)
        return share[order[position * self._batch :][: self._batch]]

    def _one_by_one(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Compute one worker's gradient after another, to keep its activations in cache."""
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
        """Return how many images are classified correctly, and the sum of all losses."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
            scores = self._model(self._scaled(pixels_BCHW)).float()
        loss = cross_entropy(scores, labels, reduction="sum")
        return int((scores.argmax(dim=1) == labels).sum()), float(loss)

    @torch.no_grad()
    def _measure_statistics(self) -> None:
        """Measure the statistics of batch normalisation, always on the same training images."""
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

    def _order(self, worker: int, epoch: int) -> NDArray[np.int64]:
        """Return the order in which a worker visits its images in an epoch, kept until the next."""
        known = self._orders.get(worker)
        if known is None or known[0] != epoch:
            draw = np.random.default_rng([self._seed, worker, epoch, 0])
            known = self._orders[worker] = (epoch, draw.permutation(len(self._shares[worker])))
        return known[1]

    def _views(self, parameters_J: Tensor) -> list[Tensor]:
        """Return views of a flat vector in the shapes of the network's parameters."""
        parts = parameters_J.split([own.numel() for own in self._trained.values()])
        return [part.view_as(own) for part, own in zip(parts, self._trained.values(), strict=True)]

    def _set(self, parameters_J: Tensor) -> None:
        """Make the network's parameters views of a flat vector."""
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
        for parameter in self._trained.values():  # each view would be sent as the whole vector
            parameter.data = parameter.data.clone()
        return self.__dict__


def _is_trained(layer: _BatchNorm) -> bool:
    return layer.weight is None or layer.weight.requires_grad
