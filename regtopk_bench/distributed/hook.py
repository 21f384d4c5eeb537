"""The communication hook of DistributedDataParallel."""

# DDP looks at the annotations of a hook: they must be no text, as `from __future__` makes them.

import functools
from typing import NoReturn

import torch
from torch import distributed as dist

from regtopk_bench.distributed.state import SparseState


def sparse_hook(
    state: SparseState,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[torch.Tensor]:
    """Aggregate a bucket of DDP, sparsified: `model.register_comm_hook(state, sparse_hook)`.

    Returns:
        The mean over all ranks of what they send.

    Raises:
        NonFiniteGradientError: From `backward`, in every rank, if the gradient of one is not
            finite; `worker` is the rank, and `round` the iteration, from 1.
        Exception: Likewise, whatever else goes wrong in one rank.
    """
    engine, parameters = state.engine, bucket.parameters()
    # Outside a backward pass, this rank has no data left, and takes part with zeros (DDP's `join`).
    joined = torch._C._current_graph_task_id() == -1
    marks = bytes(len(parameters)) if joined else engine.parameters.used(parameters)
    aggregated = engine.take(parameters, bucket.buffer(), marks, last=bucket.is_last())
    if bucket.is_last() and engine.failure is not None:
        if joined:
            raise engine.failure
        # DDP would be of no use any more if it did not come to its own end first.
        queue = torch.autograd.Variable._execution_engine.queue_callback
        queue(functools.partial(queue, functools.partial(_raise, engine.failure)))
    return aggregated


def _raise(error: Exception) -> NoReturn:
    raise error
