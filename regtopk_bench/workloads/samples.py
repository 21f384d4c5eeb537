"""What a worker learns from: samples in two tensors, or in a data set of PyTorch."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset, default_collate

from regtopk_bench.errors import ConfigurationError, failures_of
from regtopk_bench.shared import in_shared_memory
from regtopk_bench.workloads.base import digest, text_digest

_MAPPED_BYTES = 2**20


class Samples(Protocol):
    """Inputs and targets, by position."""

    def __len__(self) -> int:
        """Return how many there are."""

    def take(self, positions_B: NDArray[np.int64], draws: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return inputs (B, …) and targets (B, …); what is random follows from `draws`."""

    def digest(self, positions_B: NDArray[np.int64], draws: Sequence[int]) -> str:
        """Return what tells them apart from others, if need be by these samples only."""

    def compact(self) -> Samples:
        """Return them as they are best sent to another process."""


def samples_of(data: Any, whose: str, like: Tensor) -> Samples:
    """Return data as samples on the device of a tensor, real numbers in its dtype.

    Args:
        data: A pair (x, y) of arrays or tensors of equal length, or a data set with a length
            whose items are such pairs.
        whose: Names them in errors, as "the data of worker 0".
        like: Any tensor of the network.

    Raises:
        ConfigurationError: If they are something else, or none.
    """
    if type(data) is TensorDataset:
        data = data.tensors
    if isinstance(data, tuple | list) and len(data) == 2:
        inputs, targets = (_tensor(values, whose, like) for values in data)
        if len(inputs) != len(targets):
            raise ConfigurationError(f"{whose} are {len(inputs)} inputs, {len(targets)} targets")
        samples: Samples = TensorSamples(inputs, targets)
    elif isinstance(data, Dataset) and not isinstance(data, IterableDataset) and _has_length(data):
        samples = DatasetSamples(data, whose, like)
    else:
        raise ConfigurationError(
            f"{whose} are of kind {type(data).__name__}: expected a pair (x, y) of tensors, or a "
            "torch Dataset with a length, whose items are such pairs"
        )
    if not len(samples):
        raise ConfigurationError(f"{whose} are empty")
    return samples


@dataclass(frozen=True)
class TensorSamples:
    """Samples in two tensors of equal length."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, positions_B: NDArray[np.int64], draws: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `Samples.take`."""
        chosen_B = torch.from_numpy(positions_B).to(self.inputs.device)
        return self.inputs[chosen_B], self.targets[chosen_B]

    def digest(self, positions_B: NDArray[np.int64], draws: Sequence[int]) -> str:
        """See `Samples.digest`; all of them count."""
        return digest(self.inputs, self.targets)

    def compact(self) -> TensorSamples:
        """See `Samples.compact`; processes map large tensors instead of copying them."""
        return TensorSamples(_compact(self.inputs), _compact(self.targets))


@dataclass(frozen=True)
class DatasetSamples:
    """Samples in a data set of PyTorch, fetched when they are needed."""

    dataset: Any
    whose: str
    like: Tensor

    def __len__(self) -> int:
        return len(self.dataset)

    def take(self, positions_B: NDArray[np.int64], draws: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `Samples.take`."""
        positions = positions_B.tolist()
        with failures_of(self.whose), _drawing_from(draws):
            if hasattr(self.dataset, "__getitems__"):
                items = self.dataset.__getitems__(positions)
            else:
                items = [self.dataset[position] for position in positions]
            batch = default_collate(items)
        if not (
            isinstance(batch, tuple | list)
            and len(batch) == 2
            and all(isinstance(part, Tensor) for part in batch)
        ):
            raise ConfigurationError(f"{self.whose}: an item is not a pair (x, y) of tensors")
        inputs, targets = (_moved(part, self.like) for part in batch)
        return inputs, targets

    def digest(self, positions_B: NDArray[np.int64], draws: Sequence[int]) -> str:
        """See `Samples.digest`; the number and these samples count, all would take too long."""
        return text_digest(f"{len(self)} {digest(*self.take(positions_B, draws))}")

    def compact(self) -> DatasetSamples:
        """See `Samples.compact`."""
        return self


@contextlib.contextmanager
def _drawing_from(draws: Sequence[int]) -> Iterator[None]:
    """Seed the generators that data sets draw from, and leave them as they were."""
    seeds = np.random.SeedSequence(draws).generate_state(3).tolist()
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seeds[0])
        random.seed(seeds[1])
        np.random.seed(seeds[2])
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _tensor(values: Any, whose: str, like: Tensor) -> Tensor:
    try:
        tensor = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{whose} cannot be read as tensors: {reason}") from error
    if not tensor.dim():
        raise ConfigurationError(f"{whose} are single numbers: expected one for each sample")
    return _moved(tensor.detach(), like)


def _moved(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device, like.dtype if values.is_floating_point() else values.dtype)


def _compact(values: Tensor) -> Tensor:
    if values.device.type == "cpu" and values.nbytes >= _MAPPED_BYTES:
        return in_shared_memory(values)
    return values.clone() if values.untyped_storage().nbytes() > values.nbytes else values


def _has_length(data: Any) -> bool:
    try:
        return len(data) >= 0
    except (TypeError, NotImplementedError):
        return False
