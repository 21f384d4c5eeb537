"""Hypothesis strategies for what nobody should hand to the library."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

DTYPES = (torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.bool)

with warnings.catch_warnings(action="ignore"):  # a prototype, it says
    NESTED = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(1)])

FORMS: dict[str, Callable[[Tensor], Any]] = {
    "plain": lambda tensor: tensor,
    "expanded": lambda tensor: tensor[:1].expand(tensor.shape),
    "transposed": lambda tensor: tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor,
    "overlapping": lambda tensor: tensor.as_strided(tensor.shape, (0,) * tensor.dim()),
    "every other": lambda tensor: torch.stack([tensor, tensor], dim=-1)[..., 0],
    "one less": lambda tensor: tensor[1:],
    "narrower": lambda tensor: tensor[..., 1:],
    "flat": lambda tensor: tensor.flatten(),
    "one more dimension": lambda tensor: tensor[None],
    "recording": lambda tensor: tensor.double().requires_grad_(),
    "negated": lambda tensor: torch.complex(tensor.double(), tensor.double()).conj().imag,
    "subclass": lambda tensor: torch.nn.Parameter(tensor, requires_grad=False),
    "sparse": lambda tensor: tensor.to_sparse(),
    "nested": lambda tensor: NESTED,
    "nowhere": lambda tensor: tensor.to("meta"),
    "empty": lambda tensor: tensor[..., :0],
    "complex": lambda tensor: tensor.to(torch.complex64),
    "array": lambda tensor: tensor.numpy(),
    "list": lambda tensor: tensor.tolist(),
    "nothing": lambda tensor: None,
    "text": lambda tensor: "tensor",
}

WHOLE = (0, 1, 4, 7, 8, -1, 2**31, 2**63 - 1, -(2**63))
EXTREME = (*WHOLE, float("nan"), float("inf"), -0.0, 1e308, 1e-320)


@st.composite
def odd(draw: st.DrawFn, tensor: Tensor) -> Any:
    """Draw what is like a tensor, in another form, of another dtype or with other values."""
    changed = tensor.clone(memory_format=torch.contiguous_format)
    if changed.numel() and draw(st.booleans()):
        at = draw(st.integers(0, changed.numel() - 1))
        kind = torch.float64 if changed.is_floating_point() else torch.int64
        extreme = EXTREME if changed.is_floating_point() else WHOLE
        changed.view(-1)[at] = torch.tensor(draw(st.sampled_from(extreme)), dtype=kind)
    if draw(st.integers(0, 3)) == 0:
        changed = changed.to(draw(st.sampled_from(DTYPES)))
    return FORMS[draw(st.sampled_from(sorted(FORMS)))](changed)


numbers = st.sampled_from(
    [0, 1, 2, 3, 7, -1, 2**63, 10**400, 1.5, float("nan"), float("inf"), True, None, "3", []]
)
"""Numbers of all sorts."""


@st.composite
def some_odd(draw: st.DrawFn, arguments: dict[str, Any]) -> dict[str, Any]:
    """Draw arguments of which at least one is odd."""
    names = draw(st.sets(st.sampled_from(sorted(arguments)), min_size=1, max_size=2))
    return {
        name: value
        if name not in names
        else draw(odd(value) if isinstance(value, Tensor) else numbers)
        for name, value in arguments.items()
    }
