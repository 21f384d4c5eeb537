"""The communication hook of DistributedDataParallel."""

# DDP checks the annotations of a hook: they must not be strings, which `from __future__ import
# annotations` would make them.

import functools
from typing import NoReturn

import torch
from torch import distributed as dist

from regtopk_bench.distributed.state import SparseState
from regtopk_bench.errors import ConfigurationError


def sparse_hook(
    state: SparseState,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[torch.Tensor]:
    """Aggregate a bucket of DDP, sparsified: `model.register_comm_hook(state, sparse_hook)`.

    Returns:
        The mean over all ranks of what they send.

    Raises:
        ConfigurationError: If a gradient is a sparse tensor.
        NonFiniteGradientError: From `backward`, in every rank, if the gradient of one is not
            finite; `worker` is the rank, and `round` the iteration, from 1.
        Exception: Likewise, whatever else goes wrong in one rank.
    """
    engine, parameters = state.engine, bucket.parameters()
    if bucket.buffer().is_sparse:
        raise ConfigurationError(
            "a gradient is a sparse tensor, as of an embedding with sparse=True: it cannot be "
            "compressed; leave out sparse=True"
        )
    marks = engine.parameters.used(parameters)
    aggregated = engine.take(parameters, bucket.buffer(), marks, last=bucket.is_last())
    if bucket.is_last() and engine.failure is not None:
        _raise_after_backward(engine.failure)
    return aggregated


def _raise_after_backward(error: Exception) -> None:
    """Raise an error once DDP has come to its own end, without which it would be of no use."""
    queue = torch.autograd.Variable._execution_engine.queue_callback
    try:
        queue(functools.partial(queue, functools.partial(_raise, error)))
    except RuntimeError:  # no backward pass: this rank has no data left, see DDP's `join`
        raise error from None


def _raise(error: Exception) -> NoReturn:
    raise error
