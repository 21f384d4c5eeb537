"""Workers that train one network, each on batches of its own samples."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedParameter

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.workloads.base import Scalar, Workload, digest, text_digest

STATISTICS_BATCHES, STATISTICS_BATCH = 10, 256
"""Of training samples, on which the statistics of batch normalisation are measured."""


class NetworkWorkload(Workload):
    """The mean loss of a network, on a batch of each worker's samples in each round.

    Which samples a worker takes in a round and what dropout drops depend only on seed, worker
    and round, so every algorithm sees the same, in any process. In an epoch a worker visits each
    of its samples once, except for the last ones that do not fill a batch.

    In training, batch normalisation uses the statistics of each worker's own batch. Workers
    share none; before an evaluation statistics are measured on 2,560 training samples, the same
    every time. Frozen layers keep the statistics that they came with.
    """

    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.float64)
    """Those that parameters may have."""

    def __init__(self, model: nn.Module, sizes: Sequence[int], batch: int, seed: int) -> None:
        """Set up the network.

        Args:
            model: Its parameters that require a gradient are trained; they become views of the
                vectors that training asks about.
            sizes: How many samples each worker has.
            batch: Samples per worker and step, at most the smallest of the sizes.
            seed: Of batches and dropout.

        Raises:
            ConfigurationError: If there are no parameters to train, or they are of another dtype.
        """
        self._model, self._sizes, self._batch, self._seed = model, sizes, batch, seed
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}
        self._trained = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        self.dtype = _common_dtype(self._trained, self.dtypes)
        self.dim = sum(parameter.numel() for parameter in self._trained.values())
        self._initial_J = torch.cat([own.detach().flatten() for own in self._trained.values()])
        layers = [
            layer
            for layer in model.modules()
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None
        ]
        self._frozen = [layer for layer in layers if not _is_trained(layer)]
        self._normalising = [layer for layer in layers if _is_trained(layer)]
        for layer in layers:
            layer.track_running_stats = False  # except while they are measured

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parameters that are trained, in the network's order."""
        return tuple(tuple(parameter.shape) for parameter in self._trained.values())

    @functools.cached_property
    def network_digests(self) -> dict[str, Scalar]:
        """Digests of the network, whose code counts only as shown by its `repr`, and its values."""
        parameters = dict(self._model.named_parameters())
        shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
        fixed: list[Tensor] = [parameters[name] for name in shapes if name not in self._trained]
        fixed += self._fixed_buffers()
        return {
            "model": text_digest(f"{self._model!r}{shapes}{list(self._trained)}"),
            "initial_values": digest(self._initial_J, *fixed),
        }

    def initial_parameters(self, seed: int) -> Tensor:
        """Return the parameters that the network came with, whatever the seed."""
        return self._initial_J.clone()

    def batch(self, worker: int, step: int) -> tuple[Tensor, Tensor]:
        """Return a worker's batch in a step, counted from 0: inputs (B, …) and targets (B, …)."""
        raise NotImplementedError

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return the gradient of each worker's mean loss over its batch, (n, J).

        One worker's is computed after another's, to keep its activations in cache.
        """
        self._prepare_to_train()
        with self._forked_generators():
            self._set(parameters_J)
            grads_nJ = torch.empty(len(workers), self.dim, dtype=self.dtype, device=self.device)
            for row_J, worker in zip(grads_nJ, workers, strict=True):
                inputs, targets = self.batch(worker, round)
                self._seed_dropout(worker, round)
                loss = self._loss(self._model, inputs, targets)
                own = list(self._trained.values())
                grads = torch.autograd.grad(loss, own, materialize_grads=True)
                torch.cat([grad.flatten() for grad in grads], out=row_J)
            return grads_nJ

    @abstractmethod
    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """See `Workload.metrics`."""

    def _loss(self, network: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss over a batch, a scalar."""
        raise NotImplementedError

    def _inputs_to_measure(self) -> Iterator[Tensor]:
        """Yield the batches of inputs on which statistics of batch normalisation are measured."""
        raise NotImplementedError

    def _fixed_buffers(self) -> list[Tensor]:
        """Return the buffers that count as initial values."""
        return [buffer for layer in self._frozen for buffer in layer.buffers()]

    def _positions(self, worker: int, step: int) -> NDArray[np.int64]:
        """Return which of its samples a worker takes in a step, (B,)."""
        epoch, position = divmod(step, self._sizes[worker] // self._batch)
        return self._order(worker, epoch)[position * self._batch :][: self._batch]

    def _order(self, worker: int, epoch: int) -> NDArray[np.int64]:
        """Return the order of a worker's samples in an epoch, which is kept until the next."""
        known = self._orders.get(worker)
        if known is None or known[0] != epoch:
            draw = np.random.default_rng([self._seed, worker, epoch, 0])
            known = self._orders[worker] = (epoch, draw.permutation(self._sizes[worker]))
        return known[1]

    def _forked_generators(self) -> Any:
        """Leave PyTorch's generators as they were."""
        return torch.random.fork_rng([] if self.device.type == "cpu" else [self.device])

    def _seed_dropout(self, worker: int, round: int) -> None:
        (state,) = np.random.SeedSequence([self._seed, worker, round, 2]).generate_state(1)
        torch.manual_seed(int(state))

    def _prepare_to_train(self) -> None:
        self._model.train()
        for layer in self._frozen:
            layer.eval()

    @torch.no_grad()
    def _measure_statistics(self) -> None:
        """Measure the statistics of batch normalisation, always on the same training samples."""
        if not self._normalising:
            return
        self._prepare_to_train()
        momenta = [layer.momentum for layer in self._normalising]
        for layer in self._normalising:
            layer.track_running_stats = True
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean
        with self._forked_generators():
            self._seed_dropout(0, 0)
            for inputs in self._inputs_to_measure():
                if len(inputs) > 1:
                    self._model(inputs)
        for layer, momentum in zip(self._normalising, momenta, strict=True):
            layer.momentum, layer.track_running_stats = momentum, False

    def _views(self, parameters_J: Tensor) -> list[Tensor]:
        """Return views of a flat vector in the shapes of the network's parameters."""
        parts = parameters_J.split([own.numel() for own in self._trained.values()])
        return [part.view_as(own) for part, own in zip(parts, self._trained.values(), strict=True)]

    def _set(self, parameters_J: Tensor) -> None:
        """Make the network's parameters views of a flat vector."""
        views = self._views(parameters_J)
        for parameter, view in zip(self._trained.values(), views, strict=True):
            parameter.data = view

    def __getstate__(self) -> dict[str, Any]:
        """Send each parameter by itself: a view would be sent as the whole vector."""
        for parameter in self._trained.values():
            parameter.data = parameter.data.clone()
        return self.__dict__


def _common_dtype(
    parameters: Mapping[str, nn.Parameter], allowed: Sequence[torch.dtype]
) -> torch.dtype:
    """Return the dtype of the parameters to train; raise ConfigurationError without one."""
    if not parameters:
        raise ConfigurationError("the model has no parameter that requires a gradient")
    (first, *_) = parameters.values()
    expected = [first.dtype] if first.dtype in allowed else allowed
    for name, parameter in parameters.items():
        if isinstance(parameter, UninitializedParameter):
            raise ConfigurationError(
                f"parameter {name} has no shape yet: call the model on a batch before"
            )
        if parameter.dtype not in expected:
            shown = " or ".join(str(dtype).removeprefix("torch.") for dtype in expected)
            raise ConfigurationError(f"parameter {name} is {parameter.dtype}: expected {shown}")
    return first.dtype


def _is_trained(layer: _BatchNorm) -> bool:
    return layer.weight is None or layer.weight.requires_grad
