"""The check that a gradient is finite, made where its result is needed anyway."""

from __future__ import annotations

import math

from torch import Tensor

from regtopk_bench.errors import NonFiniteGradientError


def check_finite(values_NJ: Tensor) -> None:
    """Raise NonFiniteGradientError for the first row that holds NaN or infinity."""
    if math.isfinite(float(values_NJ.sum())):
        return
    bad_N = (~values_NJ.isfinite()).sum(dim=1)
    if bad_N.any():
        worker = int(bad_N.nonzero()[0])
        raise NonFiniteGradientError(worker, int(bad_N[worker]))
