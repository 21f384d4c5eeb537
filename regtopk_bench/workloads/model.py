"""Any network of PyTorch, trained on any workers' data."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regtopk_bench.arguments import shown, whole
from regtopk_bench.errors import ConfigurationError, RunError, failures_of
from regtopk_bench.threads import single_threaded
from regtopk_bench.workloads.base import (
    Scalar,
    as_float_tensor,
    scaled_weights,
    text_digest,
)
from regtopk_bench.workloads.network import (
    STATISTICS_BATCH,
    STATISTICS_BATCHES,
    NetworkWorkload,
)
from regtopk_bench.workloads.samples import Samples, samples_of

Measure = Callable[[Tensor, Tensor], Any]
"""A mean over a batch, from outputs (B, …) and targets (B, …)."""

_EVALUATED_BATCH = 250
_WHOLE_NUMBERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
_TAKEN = {
    *("loss", "rounds", "workers", "parameters"),
    *("uplink_bytes", "downlink_bytes", "coordination_bytes"),
}
"""What results hold under these names."""


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the fraction of targets whose class has the largest score.

    Args:
        outputs: Scores, (B, classes, …), of two classes at least.
        targets: The right classes, (B, …), whole numbers.

    Raises:
        ConfigurationError: If they are of other shapes, or the targets are not whole numbers.
    """
    fits = outputs.dim() > 1 and targets.shape == outputs.shape[:1] + outputs.shape[2:]
    if not fits or outputs.shape[1] < 2 or targets.dtype not in _WHOLE_NUMBERS:
        raise ConfigurationError(
            "accuracy needs scores (B, classes, …) of at least two classes and whole numbers "
            f"(B, …), not {tuple(outputs.shape)} and {tuple(targets.shape)} of {targets.dtype}"
        )
    return (outputs.argmax(dim=1) == targets).double().mean()


class ModelWorkload(NetworkWorkload):
    """A network of one's own, trained by workers on data of their own.

    The gradient of a worker is that of the mean loss over its batch. Which samples that has, what
    a data set draws at random and what dropout drops follow from seed, worker and round alone, so
    every algorithm sees the same, in any process. In an epoch a worker visits each of its samples
    once, except for the last ones that do not fill a batch.

    In training, batch normalisation uses the statistics of each worker's own batch. Workers share
    none; before an evaluation statistics are measured on 2,560 training samples, the same every
    time. Layers whose parameters do not require a gradient keep the statistics they came with. A
    model that changes any other buffer while it computes is refused.

    Metrics, all in evaluation mode: `loss`, and those that are asked for; on the test data, or if
    there are none on all training data, each worker's with its weight.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Measure,
        datasets: Sequence[Any],
        *,
        batch: int,
        test: Any = None,
        metrics: Mapping[str, Measure] | None = None,
        weights: Any = None,
        seed: int = 0,
    ) -> None:
        """Set up the problem, and compute a gradient and the metrics of one batch to try it.

        Args:
            model: The network, on any device; a copy is trained. Its parameters that require a
                gradient are the J parameters, all float32 or all float64.
            loss: Takes outputs and targets of a batch and returns their mean loss, a scalar:
                `torch.nn.functional.cross_entropy`, for example.
            datasets: The data of each worker: a pair (x, y) of arrays or tensors of equal length,
                or a torch Dataset with a length whose items are such pairs. Real numbers are
                converted to the dtype of the parameters.
            batch: Samples per worker and round, at most the smallest number that a worker has.
            test: Data to evaluate on, in the same form.
            metrics: Further metrics by name; each takes outputs and targets of a batch and returns
                a mean over it: `{"accuracy": regtopk_bench.accuracy}`, for example. To be sent to
                other processes, functions must be defined at the top level of a module.
            weights: ω, the share of each worker, (N,), scaled to add up to 1; equal when None.
            seed: Of batches, data sets and dropout.

        Raises:
            ConfigurationError: If an argument cannot be used, as a loss with parameters of its own;
                if no gradient or metric can be computed, or a gradient is another when computed
                again; if the model changes its buffers.
        """
        if not isinstance(model, nn.Module):
            raise ConfigurationError(f"expected a torch.nn.Module, not {shown(model)}")
        if isinstance(datasets, Tensor) or not isinstance(datasets, Sequence) or not datasets:
            raise ConfigurationError("datasets are not a list with the data of each worker")
        self._criterion, self._metrics = loss, _checked(loss, metrics or {})
        seed, batch = whole(seed, "seed"), whole(batch, "batch", 1)
        model = _copied(model)
        trained = (each for each in model.parameters() if each.requires_grad)
        first = next(trained, torch.empty(0))
        like = torch.empty(0, dtype=first.dtype, device=first.device)
        self._samples = [
            samples_of(data, f"the data of worker {worker}", like)
            for worker, data in enumerate(datasets)
        ]
        self._test = None if test is None else samples_of(test, "the test data", like)
        self.workers = len(self._samples)
        for worker, samples in enumerate(self._samples):
            if len(samples) < batch:
                raise ConfigurationError(
                    f"worker {worker} has {len(samples)} samples, fewer than a batch of {batch}"
                )
        self.weights_N = scaled_weights(weights, self.workers)
        super().__init__(model, [len(samples) for samples in self._samples], batch, seed)
        self.device = self._initial_J.device
        self._try()

    @property
    def identity(self) -> dict[str, Scalar]:
        """See `Workload.identity`.

        Code counts only as shown by the `repr` of the model and the loss, and the data sets of
        PyTorch as shown by their lengths and the workers' first batches.
        """
        data = [
            samples.digest(self._positions(worker, 0), [self._seed, worker, 0, 1])
            for worker, samples in enumerate(self._samples)
        ]
        if self._test is not None:
            first_B = np.arange(min(len(self._test), _EVALUATED_BATCH))
            data.append(self._test.digest(first_B, [self._seed, self.workers, 0, 1]))
        return super().identity | {
            "data": text_digest(" ".join(data)),
            "batch": self._batch,
            "seed": self._seed,
            "loss": _without_addresses(self._criterion),
            "metrics": " ".join(self._metrics),
            **self.network_digests,
        }

    def batch(self, worker: int, step: int) -> tuple[Tensor, Tensor]:
        """Return a worker's batch in a step, counted from 0: inputs (B, …) and targets (B, …)."""
        positions_B = self._positions(worker, step)
        return self._samples[worker].take(positions_B, [self._seed, worker, step, 1])

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        """Return the gradient of each worker's mean loss over its batch, (n, J).

        Raises:
            RunError: If the model, its loss or a data set raises.
        """
        with failures_of("the model or its loss"):
            return super().gradients(parameters_J, workers, round)

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        """Return `loss` and every other metric of each parameter vector, (T,)."""
        with failures_of("an evaluation of the model"):
            rows = [self._evaluated(parameters_J) for parameters_J in parameters_TJ]
        columns = np.array(rows, dtype=np.float64).reshape(-1, 1 + len(self._metrics)).T
        return dict(zip(["loss", *self._metrics], columns, strict=True))

    def network(self, parameters_J: Any) -> nn.Module:
        """Return a copy of the model with other parameters, in evaluation mode.

        Args:
            parameters_J: θ, (J,), such as the `final_parameters` of a trace.

        Raises:
            ConfigurationError: If there are not J of them.
        """
        values_J = as_float_tensor(parameters_J, "parameters", 1).to(self._initial_J)
        if len(values_J) != self.dim:
            raise ConfigurationError(f"{len(values_J)} parameters for a model of {self.dim}")
        self._set(values_J)
        self._measure_statistics()
        for layer in self._normalising + self._frozen:
            layer.track_running_stats = True
        made = _copied(self._model).eval()
        for layer in self._normalising + self._frozen:
            layer.track_running_stats = False
        return made

    def _evaluated(self, parameters_J: Tensor) -> NDArray[np.float64]:
        """Return loss and metrics, (1 + metrics,)."""
        self._set(parameters_J)
        self._measure_statistics()
        self._model.eval()
        shares = (
            [(1.0, self._test)]
            if self._test is not None
            else zip(self.weights_N, self._samples, strict=True)
        )
        means = np.zeros(1 + len(self._metrics))
        with torch.no_grad(), self._forked_generators():
            self._seed_dropout(self.workers, 0)  # for a model that draws in evaluation mode, too
            for share, samples in shares:
                for positions_B in _batches(np.arange(len(samples)), _EVALUATED_BATCH):
                    values = self._measured(samples, positions_B)
                    means += float(share) * len(positions_B) / len(samples) * np.array(values)
        return means

    def _measured(self, samples: Samples, positions_B: NDArray[np.int64]) -> list[float]:
        """Return loss and metrics of a batch."""
        draws = [self._seed, self.workers, int(positions_B[0]), 1]
        inputs, targets = samples.take(positions_B, draws)
        with failures_of("the model"):
            outputs = self._model(inputs)
        values = []
        for name, measure in {"loss": self._criterion, **self._metrics}.items():
            with failures_of(f'metric "{name}"' if name in self._metrics else "the loss"):
                values.append(float(measure(outputs, targets)))
        return values

    def _loss(self, network: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        loss = self._criterion(network(inputs), targets)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ConfigurationError(
                f"the loss of a batch is {found}: expected one number, the mean over the batch"
            )
        return loss.reshape(())

    def _inputs_to_measure(self) -> Iterator[Tensor]:
        """Yield samples of all workers in turn, so that every batch has some of each."""
        each = -(-STATISTICS_BATCHES * STATISTICS_BATCH // self.workers)
        chosen = [
            (worker, place * max(1, size // each))
            for place in range(each)
            for worker, size in enumerate(self._sizes)
            if place < size
        ]
        for part in _batches(np.array(chosen), STATISTICS_BATCH):
            inputs = [
                self._samples[worker].take(np.array([position]), [self._seed, worker, position, 3])
                for worker, position in part.tolist()
            ]
            yield torch.cat([each for each, _ in inputs])

    def _fixed_buffers(self) -> list[Tensor]:
        measured = {id(each) for layer in self._normalising for each in layer.buffers()}
        return [buffer for buffer in self._model.buffers() if id(buffer) not in measured]

    def _try(self) -> None:
        """Raise ConfigurationError if gradients or metrics cannot be those of a workload."""
        before = [buffer.clone() for buffer in self._model.buffers()]
        with single_threaded():
            try:
                first_J, again_J = (
                    self.gradients(self._initial_J, range(1), 0).nan_to_num() for _ in range(2)
                )
            except RunError as error:
                raise ConfigurationError(f"on the first batch of worker 0, {error}") from error
            self._try_metrics()
        for (name, buffer), old in zip(self._model.named_buffers(), before, strict=True):
            if not torch.equal(buffer.nan_to_num(), old.nan_to_num()):
                raise ConfigurationError(
                    f"the model changes its buffer {name} while it computes, so a gradient would "
                    "depend on those before it; of such layers, only batch normalisation can be "
                    "used: another that keeps no statistics is needed"
                )
        if self.device.type == "cpu" and not torch.equal(first_J, again_J):
            raise ConfigurationError(
                "the gradient of a batch is another when computed again: model, loss and data may "
                "depend on nothing but PyTorch's, NumPy's and Python's own random numbers"
            )

    def _try_metrics(self) -> None:
        """Raise ConfigurationError if loss and metrics of the first batch cannot be evaluated."""
        samples = self._samples[0] if self._test is None else self._test
        self._model.eval()
        try:
            with torch.no_grad(), self._forked_generators():
                self._seed_dropout(self.workers, 0)
                self._measured(samples, np.arange(min(len(samples), _EVALUATED_BATCH)))
        except RunError as error:
            whose = "worker 0" if self._test is None else "the test data"
            raise ConfigurationError(f"on the first batch of {whose}, {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        """Let the processes of a pool map large tensors instead of copying them."""
        self._samples = [samples.compact() for samples in self._samples]
        self._test = None if self._test is None else self._test.compact()
        return super().__getstate__()


def _checked(loss: Measure, metrics: Mapping[str, Measure]) -> dict[str, Measure]:
    """Return the metrics; raise ConfigurationError for what cannot be called or named so."""
    if not isinstance(metrics, Mapping):
        raise ConfigurationError(f"metrics {shown(metrics)} are not functions by name")
    for name, measure in {"loss": loss, **metrics}.items():
        if not callable(measure) or isinstance(measure, type):
            raise ConfigurationError(f"{name} {shown(measure)} is not a function of two tensors")
    for name in metrics:
        if not isinstance(name, str) or name in _TAKEN:
            raise ConfigurationError(f"no metric can be named {shown(name)}")
    if isinstance(loss, nn.Module) and any(each.requires_grad for each in loss.parameters()):
        raise ConfigurationError(
            f"the loss {type(loss).__name__} has parameters, which would not be trained: make them "
            "part of the model, or freeze them with requires_grad_(False)"
        )
    return dict(metrics)


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a foreign class may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(f"the model cannot be copied: {reason}") from error


def _batches(values: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _without_addresses(value: object) -> str:
    """Return a text that is the same in another process: `<function cross_entropy>`."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
