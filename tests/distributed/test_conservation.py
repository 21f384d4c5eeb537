"""What a rank sends and what it keeps make up what it had, to the bit, while DDP trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, sparse_hook
from tests.distributed import training
from tests.distributed.ranks import Ranks


def ledgers(sparsifier: rb.Sparsifier, settings: dict[str, Any]) -> list[dict[str, Tensor]]:
    """Train; return what a rank had, kept and received in each iteration, (J,) each."""
    model = training.network(torch.float32)
    state = SparseState(sparsifier, model=model, **settings)
    names = {id(each): name for name, each in model.named_parameters()}
    own: dict[str, Tensor] = {}

    def watched(state, bucket):  # DDP reads annotations
        for parameter, grad in zip(bucket.parameters(), bucket.gradients(), strict=True):
            own[names[id(parameter)]] = grad.clone().flatten()
        return sparse_hook(state, bucket)

    ddp = training.wrapped(model, state, watched)
    pages, kept = [], torch.zeros_like(training.flat(model))

    def after_backward(iteration: int) -> None:
        nonlocal kept
        had = kept + torch.cat([own[name] for name, _ in model.named_parameters()])
        kept = training.residuals(state, model)
        pages.append({"had": had, "kept": kept, "received": training.flat_gradient(model)})

    training.train(ddp, range(20), after_backward=after_backward)
    return pages


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("topk", {}),
        ("regtopk", {}),
        ("randomk", {}),
        ("per-layer", {}),
        ("outside", {}),
        ("oracle", {"scope": "global"}),
        ("topk", {"warm_up": ((0.5, 3), (0.1, 4))}),
    ],
)
def test_nothing_is_lost(name: str, settings: dict[str, Any], two: Ranks) -> None:
    pages = two.run(ledgers, training.SPARSIFIERS[name], settings)
    for iteration, ranks in enumerate(zip(*pages, strict=True)):
        sent = [page["had"] - page["kept"] for page in ranks]
        for page, message in zip(ranks, sent, strict=True):
            assert torch.equal(page["kept"] + message, page["had"])
            untouched = page["kept"] == page["had"]
            assert torch.equal(page["kept"].masked_fill(untouched, 0.0), torch.zeros_like(message))
            assert int(untouched.sum()) > 0
        for page in ranks:
            assert torch.equal(page["received"], 0.5 * sent[0] + 0.5 * sent[1]), iteration
