"""FSDP2: native within replicas, sparsified between them."""

from __future__ import annotations

import contextlib
import io
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.fsdp import MixedPrecisionPolicy

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, compress_replicas
from tests.distributed import sharded
from tests.distributed.ranks import Ranks
from tests.distributed.sharded import MODULES, backward, compressed, mesh, train, whole

DENSITY = 0.2
SPARSIFIERS = [
    rb.TopK(density=DENSITY),
    rb.RegTopK(density=DENSITY, mu=1.0),
    rb.RandomK(density=DENSITY),
    rb.Oracle(density=DENSITY),
    rb.PerLayer(rb.TopK(density=DENSITY)),
]


def same_as_native(sparsifier: rb.Sparsifier) -> float:
    native, (model, _) = sharded.sharded(mesh()), compressed(sparsifier)
    train(native, range(5))
    train(model, range(5))
    return largest(whole(native), whole(model))


def largest(some: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    """Return the largest difference."""
    assert some.keys() == others.keys()
    return max((some[name] - others[name]).abs().max().item() for name in some)


@pytest.mark.parametrize("sparsifier", [rb.Dense(), rb.TopK(density=1.0)])
def test_with_all_entries_it_is_native_hybrid_sharding(
    four: Ranks, sparsifier: rb.Sparsifier
) -> None:
    assert max(four.run(same_as_native, sparsifier)) < 1e-14


def transcribed_topk(iterations: int, rate: float = 0.3) -> dict[str, Tensor]:
    """Train with Top-k in every shard of every module, written down with whole dense tensors."""
    model = sharded.network()
    parameters = dict(model.named_parameters())
    kept: dict[Any, Tensor] = {}
    for iteration in range(iterations):
        steps = {name: torch.zeros_like(each) for name, each in parameters.items()}
        for replica in range(2):
            model.zero_grad()
            for rank in (2 * replica, 2 * replica + 1):
                backward(model, iteration, rank)
            for names in MODULES.values():
                for shard in range(2):
                    rows = [slice(*_rows(len(parameters[name]), shard)) for name in names]
                    parts = [
                        parameters[name].grad[each] / 2
                        for name, each in zip(names, rows, strict=True)
                    ]
                    gradient = torch.cat([part.flatten() for part in parts])
                    if not len(gradient):
                        continue
                    a = kept.get((replica, names, shard), 0.0) + gradient
                    top = a.abs().argsort(descending=True, stable=True)
                    sent = torch.zeros_like(a)
                    chosen = top[: max(1, int(DENSITY * len(a)))]
                    sent[chosen] = a[chosen]
                    kept[replica, names, shard] = a - sent
                    pieces = sent.split([part.numel() for part in parts])
                    for name, each, piece in zip(names, rows, pieces, strict=True):
                        steps[name][each] += piece.view_as(steps[name][each]) / 2
        with torch.no_grad():
            for name, step in steps.items():
                parameters[name] -= rate * step
    return {name: each.detach() for name, each in parameters.items()}


def _rows(rows: int, shard: int) -> tuple[int, int]:
    """Return where a shard starts and ends: the first takes the odd one."""
    half = (rows + 1) // 2
    return (0, half) if shard == 0 else (half, rows)


def off_the_transcription() -> float:
    model, state = compressed(rb.TopK(density=DENSITY))
    train(model, range(30))
    assert state.iteration == 30
    assert state.statistics.rate > 2
    return largest(whole(model), transcribed_topk(30))


def test_topk_equals_a_dense_transcription(four: Ranks) -> None:
    assert max(four.run(off_the_transcription)) < 1e-12


def conserved(sparsifier: rb.Sparsifier) -> None:
    """Follow what every rank was given, sent and kept, with a twin that exchanges nothing."""
    model, state = compressed(sparsifier)
    twin = sharded.sharded(mesh()["shard"])
    residual = {name: torch.zeros(()) for name, _ in model.named_parameters()}

    def check(iteration: int) -> None:
        twin.zero_grad()
        twin.load_state_dict(model.state_dict())
        backward(twin, iteration)
        given, now, aggregates = sharded.gradients(twin), sharded.residuals(state), sharded.gradients(model)
        sent = 0
        for name, kept in now.items():
            message = residual[name] + given[name] - kept
            chosen = kept == 0.0
            torch.testing.assert_close(message[~chosen], torch.zeros(int((~chosen).sum()), dtype=torch.float64))
            sent += int(chosen.sum())
            total = message.clone()
            dist.all_reduce(total, group=mesh().get_group("replicate"))
            torch.testing.assert_close(total / 2, aggregates[name])
            residual[name] = kept.clone()
        assert 0 < sent < sum(kept.numel() for kept in now.values()) / 2

    train(model, range(6), check)


@pytest.mark.parametrize("sparsifier", SPARSIFIERS, ids=lambda each: type(each).__name__)
def test_nothing_is_lost_in_any_rank(four: Ranks, sparsifier: rb.Sparsifier) -> None:
    four.run(conserved, sparsifier)


def resumed(sparsifier: rb.Sparsifier) -> None:
    """Save after three iterations, and go on with a fresh network and a fresh state."""
    settings = {"start_iteration": 1, "warm_up": [(0.5, 1)]} if warms_up(sparsifier) else {}
    model, state = compressed(sparsifier, settings=settings)
    train(model, range(3))
    kept, file = whole(model), io.BytesIO()
    torch.save(state.state_dict(), file)
    train(model, range(3, 6))
    agreed = torch.cat([each.flatten() for each in whole(model).values()])
    others = torch.empty(2, len(agreed), dtype=agreed.dtype)
    dist.all_gather_into_tensor(others, agreed, group=mesh().get_group("replicate"))
    assert torch.equal(others[0], others[1])

    file.seek(0)
    again, fresh = compressed(sparsifier, settings=settings)
    load(again, kept)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    train(again, range(3, 6))
    assert largest(whole(model), whole(again)) == 0.0
    assert fresh.iteration == 6
    assert fresh.statistics == state.statistics
