"""The compression step in plain PyTorch: the definition of correct, on any device."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from regtopk_bench.kernels.checks import check_finite
from regtopk_bench.kernels.guess import Guess


def step(
    residual_NJ: Tensor,
    grad_NJ: Tensor,
    k: int,
    corrected_Nk: Tensor | None = None,
    factors_Nk: Tensor | None = None,
    guesses: Sequence[Guess] | None = None,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """See `regtopk_bench.kernels.step`."""
    accumulated_NJ = residual_NJ.add_(grad_NJ)
    check_finite(accumulated_NJ)
    score_NJ = accumulated_NJ.abs()
    if corrected_Nk is not None and factors_Nk is not None:
        score_NJ.scatter_(1, corrected_Nk, score_NJ.gather(1, corrected_Nk) * factors_Nk)
    indices_Nk = select(score_NJ, k)
    values_Nk = accumulated_NJ.gather(1, indices_Nk)
    residual_NJ.scatter_(1, indices_Nk, 0.0)
    if out is not None:
        return out[0].copy_(indices_Nk), out[1].copy_(values_Nk)
    return indices_Nk, values_Nk


def release() -> None:
    """Nothing is kept between steps."""


def select(score_NJ: Tensor, k: int) -> Tensor:
    """See `regtopk_bench.kernels.select`: a stable sort keeps the lower of equal indices."""
    order_NJ = score_NJ.argsort(dim=1, descending=True, stable=True)
    return order_NJ[:, :k].sort(dim=1).values


def scatter_sum(
    indices_Nk: Tensor,
    values_Nk: Tensor,
    weights_N: Tensor,
    dim: int,
    out: Tensor | None = None,
) -> Tensor:
    """See `regtopk_bench.kernels.scatter_sum`."""
    total_J = values_Nk.new_zeros(dim) if out is None else out.zero_()
    for indices_k, values_k, weight in zip(indices_Nk, values_Nk, weights_N, strict=True):
        total_J.index_add_(0, indices_k, weight * values_k)  # distinct indices
    return total_J


def weighted_sum(values_NJ: Tensor, weights_N: Tensor) -> Tensor:
    """See `regtopk_bench.kernels.weighted_sum`."""
    total_J = torch.zeros_like(values_NJ[0])
    for values_J, weight in zip(values_NJ, weights_N, strict=True):
        total_J += weight * values_J
    return total_J


def gather(total_J: Tensor, indices_Nk: Tensor) -> Tensor:
    """See `regtopk_bench.kernels.gather`."""
    return total_J.take(indices_Nk)


def ratio(received_Nk: Tensor, sent_Nk: Tensor, weights_N: Tensor, scale: float) -> Tensor:
    """See `regtopk_bench.kernels.ratio`."""
    share_Nk = weights_N[:, None] * sent_Nk
    ratio_Nk = (received_Nk / share_Nk).abs_().div_(scale)
    return ratio_Nk.masked_fill_(share_Nk == 0.0, math.inf)
