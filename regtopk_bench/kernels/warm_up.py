"""Importing this loads the compiled kernels, so that processes forked later have them."""

from __future__ import annotations

import warnings

import torch

from regtopk_bench import kernels

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the process that asked for others tells what is missing
    for _dtype in (torch.float32, torch.float64):
        _rows, _weights = torch.ones(1, 2, dtype=_dtype), torch.ones(1, dtype=_dtype)
        _indices, _values = kernels.step(_rows, _rows.clone(), 1)
        kernels.step(_rows, _rows.clone(), 1, _indices, _values)
        kernels.scatter_sum(_indices, _values, _weights, 2)
        kernels.weighted_sum(_rows, _weights)
        _received = kernels.gather(_weights, torch.zeros_like(_indices))
        kernels.ratio(_received, _values, _weights, 1.0)
