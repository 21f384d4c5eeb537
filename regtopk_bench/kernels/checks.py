"""Checks of a step's inputs, where they cost next to nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError, NonFiniteGradientError


def check_finite(values_NJ: Tensor) -> None:
    """Raise NonFiniteGradientError for the first row that holds NaN or infinity."""
    if math.isfinite(float(values_NJ.sum())):
        return
    bad_N = (~values_NJ.isfinite()).sum(dim=1)
    if bad_N.any():
        worker = int(bad_N.nonzero()[0])
        raise NonFiniteGradientError(worker, int(bad_N[worker]))


def check_outputs(
    out: tuple[Tensor, Tensor],
    residual_NJ: Tensor,
    k: int,
    corrected_Nk: Tensor | None,
    factors_Nk: Tensor | None,
) -> None:
    """Raise ConfigurationError if a step cannot write to these tensors.

    Only the tensors' start addresses are compared; partial overlaps are not detected.
    """
    indices_Nk, values_Nk = out
    shape, dtype = (residual_NJ.shape[0], k), residual_NJ.dtype
    if not (
        indices_Nk.shape == values_Nk.shape == shape
        and indices_Nk.dtype == torch.int64
        and values_Nk.dtype == dtype
        and indices_Nk.is_contiguous()
        and values_Nk.is_contiguous()
    ):
        raise ConfigurationError(
            f"out has to be two contiguous tensors of shape {shape}, torch.int64 and {dtype}"
        )
    if (corrected_Nk is not None and indices_Nk.data_ptr() == corrected_Nk.data_ptr()) or (
        factors_Nk is not None and values_Nk.data_ptr() == factors_Nk.data_ptr()
    ):
        raise ConfigurationError("out shares memory with corrected_Nk or factors_Nk")
