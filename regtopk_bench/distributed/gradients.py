"""Training without DDP: the gradients of all ranks, aggregated after the backward pass."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from regtopk_bench.distributed.state import SparseState
from regtopk_bench.errors import ConfigurationError


@torch.no_grad()
def compress_gradients(model: nn.Module, state: SparseState) -> None:
    """Put the mean over all ranks of what they send in the place of every gradient, `p.grad`.

    Call it in every rank between `backward`, or the last of several, and the optimizer. The whole
    gradient is selected from at once, whatever the state's scope. A parameter without gradient
    counts as one whose gradient is 0, and has a gradient afterwards, in every rank.

    Args:
        model: The network, not wrapped in DDP, the same in every rank.
        state: Its state.

    Raises:
        ConfigurationError: If there is nothing to train.
        NonFiniteGradientError: In every rank, if the gradient of one is not finite; `worker` is the
            rank, and `round` the iteration, from 1.
        Exception: Likewise, whatever else goes wrong in one rank.
    """
    parameters = [each for each in model.parameters() if each.requires_grad]
    if not parameters:
        raise ConfigurationError("gradients to compress: no parameter of the model requires one")
    if any(hasattr(each, "device_mesh") for each in parameters):
        raise ConfigurationError(
            "gradients to compress: the parameters are sharded; with FSDP2, use compress_replicas"
        )
    dtype = functools.reduce(torch.promote_types, (each.dtype for each in parameters))
    sizes = [each.numel() for each in parameters]
    gradient_J = torch.zeros(sum(sizes), dtype=dtype, device=parameters[0].device)
    for parameter, part in zip(parameters, gradient_J.split(sizes), strict=True):
        if parameter.grad is not None:
            _as_laid_out(part, parameter).copy_(parameter.grad)
    engine = state.engine
    engine.parameters.name(model)
    aggregated = engine.take(parameters, gradient_J, bytes([1] * len(parameters)), last=True)
    if engine.failure is not None:
        raise engine.failure
    for parameter, part in zip(parameters, aggregated.wait().split(sizes), strict=True):
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter)
        parameter.grad.copy_(_as_laid_out(part, parameter))


def _as_laid_out(part: Tensor, parameter: Tensor) -> Tensor:
    """Return entries in the order in which the parameter's lie in memory, as in a bucket of DDP."""
    strides = torch.empty_like(parameter, device="meta").stride()
    return part.as_strided(parameter.shape, strides, part.storage_offset())
