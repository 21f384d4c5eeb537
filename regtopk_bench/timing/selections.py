"""Other ways to select the k largest scores: PyTorch's, NumPy's and CuPy's."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Select = Callable[[Tensor, int], Tensor]
"""From scores (J,) and k to the indices of the k largest, (k,), in any order."""


def failure_to_load(name: str) -> str | None:
    """Return why a rival cannot be used here, in words, if so."""
    if name == "cupy.argpartition" and importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    return None


def rival(name: str) -> Select:
    """Return the way to select that one of `RIVALS` names."""
    return _RIVALS[name]


def _topk(score_J: Tensor, k: int) -> Tensor:
    return score_J.topk(k, sorted=False).indices


def _sort(score_J: Tensor, k: int) -> Tensor:
    return score_J.sort(descending=True).indices[:k]


def _kthvalue(score_J: Tensor, k: int) -> Tensor:
    """Select by a threshold; of entries equal to it, take the first ones."""
    threshold = score_J.kthvalue(len(score_J) - k + 1).values
    above = (score_J > threshold).nonzero()[:, 0]
    equal = (score_J == threshold).nonzero()[:, 0]
    return torch.cat([above, equal[: k - len(above)]])


def _argpartition(score_J: Tensor, k: int) -> Tensor:
    first = len(score_J) - k
    return torch.from_numpy(np.argpartition(score_J.numpy(), first)[first:])


def _cupy_argpartition(score_J: Tensor, k: int) -> Tensor:
    import cupy

    first = len(score_J) - k
    chosen = cupy.argpartition(cupy.from_dlpack(score_J), first)[first:]
    return torch.utils.dlpack.from_dlpack(chosen)


_RIVALS: dict[str, Select] = {
    "torch.topk": _topk,
    "torch.sort": _sort,
    "torch.kthvalue": _kthvalue,
    "numpy.argpartition": _argpartition,
    "cupy.argpartition": _cupy_argpartition,
}

RIVALS = tuple(_RIVALS)
"""Their names."""
