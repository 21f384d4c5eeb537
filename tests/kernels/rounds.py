"""Round after round of a step, against the reference, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from regtopk_bench.kernels import Guess, reference


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(torch.int32 if tensor.dtype == torch.float32 else torch.int64)


def check_against_reference(
    step: Callable[..., tuple[Tensor, Tensor]],
    grads: Tensor,
    k: int,
    corrected: bool,
    guesses: list[Guess] | None,
) -> None:
    """Run rounds with a memory and compare every round with the reference.

    From the second round on, the entries sent last have factors, heavy with ties.
    """
    ours, theirs = torch.zeros_like(grads[0]), torch.zeros_like(grads[0])
    last = factors = None
    generator = torch.Generator().manual_seed(k)
    for grad in grads:
        got = step(ours, grad, k, last, factors, guesses)
        expected = reference.step(theirs, grad, k, last, factors)
        assert torch.equal(got[0], expected[0])
        assert torch.equal(bits(got[1]), bits(expected[1]))
        assert torch.equal(bits(ours), bits(theirs))
        if corrected:
            last = got[0]
            random = torch.rand(last.shape, generator=generator).round(decimals=1)
            factors = random.to(grad.device, grad.dtype)
