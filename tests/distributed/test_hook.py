"""The hook in training with DistributedDataParallel, against what it should compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, sparse_hook
from tests.distributed import training
from tests.distributed.ranks import Ranks

DENSITY = 0.05


def transcription(layouts: Sequence[list[list[int]]], ranks: int) -> Tensor:
    """Train with Top-k in each bucket: dense tensors, a stable sort, all ranks in this one."""
    model = training.network()
    parameters = list(model.parameters())
    kept = [[torch.zeros_like(each).flatten() for each in parameters] for _ in range(ranks)]
    for iteration, buckets in enumerate(layouts):
        sums = [torch.zeros_like(each).flatten() for each in parameters]
        for rank in range(ranks):
            grads = torch.autograd.grad(training.loss_of(model, iteration, rank), parameters)
            for bucket in buckets:
                a = torch.cat([kept[rank][p] + grads[p].flatten() for p in bucket])
                best = a.abs().argsort(descending=True, stable=True)[: int(DENSITY * len(a))]
                sent = torch.zeros_like(a)
                sent[best] = a[best]
                sizes = [parameters[p].numel() for p in bucket]
                parts = sent.split(sizes), (a - sent).split(sizes)
                for p, part, rest in zip(bucket, *parts, strict=True):
                    kept[rank][p] = rest
                    sums[p] += part / ranks
        with torch.no_grad():
            for parameter, total in zip(parameters, sums, strict=True):
                parameter -= 0.1 * total.view_as(parameter)
    return training.flat(model)


def trained_with_topk() -> tuple[list[list[list[int]]], Tensor, Tensor, Any]:
    """Train with the hook; return the buckets of each iteration, and two results."""
    model, layouts = training.network(), [[]]
    places = {id(each): place for place, each in enumerate(model.parameters())}

    def watched(state, bucket):  # DDP reads annotations
        layouts[-1].append([places[id(each)] for each in bucket.parameters()])
        return sparse_hook(state, bucket)

    state = SparseState(rb.TopK(density=DENSITY))
    ddp = training.wrapped(model, state, watched)
    training.train(ddp, range(50), after_backward=lambda iteration: layouts.append([]))
    by_hand = transcription(layouts[:-1], dist.get_world_size())
    return layouts[:-1], training.flat(model), by_hand, state.statistics


def test_topk_is_what_a_dense_transcription_computes(two: Ranks, four: Ranks) -> None:
    for ranks in two, four:
        for layouts, trained, by_hand, statistics in ranks.run(trained_with_topk):
            assert len(layouts[0]) == 1 < len(layouts[1])  # DDP has grouped them anew
            assert torch.allclose(trained, by_hand, rtol=0.0, atol=1e-12)
            assert statistics.iterations == 50
            assert statistics.bytes_before == 50 * 8 * trained.numel()
            assert statistics.rate == statistics.bytes_before / statistics.bytes_after > 12.0


def trained(
    settings: dict[str, Any], momentum: float = 0.9, dtype: torch.dtype = torch.float64
) -> Tensor:
    model = training.network(dtype)
    ddp = training.wrapped(model, SparseState(**settings))
    training.train(ddp, range(12), momentum=momentum)
    return training.flat(model)


def test_every_sparsifier_trains_as_in_a_simulation(two: Ranks) -> None:
    """Momentum is applied by the optimizer to the aggregate, as `simulate` does."""
    for name, sparsifier in training.SPARSIFIERS.items():
        settings = {"sparsifier": sparsifier, "scope": "global"}
        first, second = two.run(trained, settings)
        assert torch.equal(first, second), name
        recipe = {"rounds": 12, "learning_rate": 0.1, "momentum": 0.9, "processes": 1}
        trace = rb.simulate(training.Twin(2), sparsifier, **recipe)
        simulated = torch.from_numpy(trace.final_parameters)
        assert torch.allclose(first, simulated, rtol=0.0, atol=1e-12), name


def test_every_sparsifier_trains_by_buckets(two: Ranks) -> None:
    for name, sparsifier in training.SPARSIFIERS.items():
        first, second = two.run(trained, {"sparsifier": sparsifier})
        assert torch.equal(first, second), name
        assert first.isfinite().all(), name


def test_the_encoding_changes_nothing_but_bytes(two: Ranks) -> None:
    for name, sparsifier in training.SPARSIFIERS.items():
        for scope in "bucket", "global":
            first, second = (
                two.run(trained, {"sparsifier": sparsifier, "scope": scope, "encoding": encoding})
                for encoding in ("coordinates", "compact")
            )
            assert torch.equal(first[0], second[0]), name


def trained_plainly() -> Tensor:
    model = training.network()
    ddp = DistributedDataParallel(model, bucket_cap_mb=training.CAP_MB)
    training.train(ddp, range(12), momentum=0.9)
    return training.flat(model)


def test_everything_sent_is_plain_ddp(four: Ranks) -> None:
    (plain, *_) = four.run(trained_plainly)
    for settings in (
        {"sparsifier": rb.TopK(density=1.0)},
        {"sparsifier": rb.RegTopK(density=1.0), "scope": "global"},
        {"sparsifier": rb.Dense()},
        {"sparsifier": rb.TopK(density=0.01), "start_iteration": 12},
    ):
        for sent in four.run(trained, settings):
            assert torch.allclose(sent, plain, rtol=0.0, atol=1e-13), settings


def trained_alone() -> Tensor:
    """Train in a group of this rank alone."""
    groups = [dist.new_group([rank]) for rank in range(dist.get_world_size())]
    group, model = groups[dist.get_rank()], training.network()
    state = SparseState(rb.RegTopK(density=0.2), group, scope="global")
    training.train(training.wrapped(model, state, process_group=group), range(12))
    return training.flat(model)


def test_the_ranks_of_a_process_group(two: Ranks) -> None:
    first, second = two.run(trained_alone)
    assert not torch.allclose(first, second)  # each sees its own data only
    trace = rb.simulate(training.Twin(1), rb.RegTopK(density=0.2), rounds=12, learning_rate=0.1)
    simulated = torch.from_numpy(trace.final_parameters)
    assert torch.allclose(first, simulated, rtol=0.0, atol=1e-12)
