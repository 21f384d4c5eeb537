"""FSDP2: gradients are reduced as usual within a replica, and sparsified between replicas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy

import regtopk_bench as rb
from tests.distributed import sharded
from tests.distributed.ranks import Ranks
from tests.distributed.sharded import (
    DENSITY,
    MODULES,
    SPARSIFIERS,
    backward,
    compressed,
    gradients,
    largest,
    mean_of_replicas,
    mesh,
    residuals,
    train,
    whole,
)


def off_native(sparsifier: rb.Sparsifier, options: dict[str, Any]) -> float:
    native = sharded.sharded(mesh(), **options)
    model, _ = compressed(sparsifier, **options)
    train(native, range(5))
    train(model, range(5))
    assert torch.equal(native.offset, model.offset)
    return largest(whole(native), whole(model))


def test_all_entries_give_hybrid_sharding(four: Ranks) -> None:
    for sparsifier, options in (
        (rb.Dense(), {}),
        (rb.TopK(density=1.0), {}),
        (rb.RandomK(density=1.0), {"reshard_after_forward": False}),
        (rb.TopK(density=1.0), {"offload_policy": CPUOffloadPolicy(pin_memory=False)}),
    ):
        assert max(four.run(off_native, sparsifier, options)) < 1e-14


def rows(parameter: Tensor, shard: int) -> slice:
    """Return which rows a shard has: of an odd number the first has one more."""
    half = (len(parameter) + 1) // 2
    return slice(0, half) if shard == 0 else slice(half, None)


def transcribed_topk(iterations: int, rate: float) -> dict[str, Tensor]:
    """Train with Top-k within each shard of each module, written down with dense tensors."""
    model = sharded.network()
    parameters = dict(model.named_parameters())
    places = [
        [(name, rows(parameters[name], shard)) for name in names]
        for names in MODULES.values()
        for shard in range(2)
    ]
    residual = {}
    for iteration in range(iterations):
        steps = {name: torch.zeros_like(each) for name, each in parameters.items()}
        for replica in range(2):
            model.zero_grad()
            backward(model, iteration, 2 * replica)
            backward(model, iteration, 2 * replica + 1)
            for number, place in enumerate(places):
                parts = [parameters[name].grad[some].flatten() / 2 for name, some in place]
                a = residual.get((replica, number), 0.0) + torch.cat(parts)
                k = min(len(a), max(1, int(DENSITY * len(a))))
                chosen = a.abs().argsort(descending=True, stable=True)[:k]
                sent = torch.zeros_like(a).index_copy(0, chosen, a[chosen])
                residual[replica, number] = a - sent
                for (name, some), part in zip(place, sent.split([*map(len, parts)]), strict=True):
                    steps[name][some] += part.view_as(steps[name][some]) / 2
        with torch.no_grad():
            for name, step in steps.items():
                parameters[name] -= rate * step
    return {name: each.detach() for name, each in parameters.items()}


def off_the_transcription() -> float:
    model, state = compressed(rb.TopK(density=DENSITY))
    train(model, range(30), rate=0.3)
    assert state.iteration == 30
    assert state.statistics.rate > 2.0
    return largest(whole(model), transcribed_topk(30, rate=0.3))


def test_topk_equals_a_dense_transcription(four: Ranks) -> None:
    assert max(four.run(off_the_transcription)) < 1e-12


def follow(sparsifier: rb.Sparsifier) -> None:
    """Check what a rank was given, sent and kept, with a twin that exchanges nothing."""
    model, state = compressed(sparsifier)
    twin = sharded.sharded(mesh()["shard"])
    before = {name: torch.zeros_like(each) for name, each in gradients(model).items()}

    def check(iteration: int) -> None:
        nonlocal before
        sharded.load(twin, whole(model))
        twin.zero_grad()
        backward(twin, iteration)
        given, kept = gradients(twin), residuals(state)
        sent = {name: before[name] + given[name] - kept[name] for name in kept}
        for name, message in sent.items():  # an entry is sent or kept, not in part
            assert torch.allclose(message[kept[name] != 0.0], torch.zeros(()).double(), atol=1e-15)
        assert 0 < sum(int((each == 0.0).sum()) for each in kept.values()) < 15
        assert largest(mean_of_replicas(sent), gradients(model)) < 1e-15
        before = kept

    train(model, range(6), check)
    own = torch.cat([each.flatten() for each in whole(model).values()])
    both = [torch.empty_like(own), torch.empty_like(own)]
    dist.all_gather(both, own, group=mesh().get_group("replicate"))
    assert torch.equal(*both)


@pytest.mark.parametrize("sparsifier", SPARSIFIERS, ids=lambda each: type(each).__name__)
def test_nothing_is_lost_and_replicas_stay_equal(four: Ranks, sparsifier: rb.Sparsifier) -> None:
    four.run(follow, sparsifier)


def accumulated(hold: str, density: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Take three passes, the first two of which only add to the gradient."""
    native, (model, state) = sharded.sharded(mesh()), compressed(rb.TopK(density=density))
    for each in native, model:
        for iteration in range(3):
            getattr(each, hold)(iteration == 2)
            backward(each, iteration)
    assert state.iteration == 1
    return gradients(native), gradients(model)


def test_gradients_are_accumulated_before_they_are_compressed(four: Ranks) -> None:
    held = []
    for hold in "set_requires_gradient_sync", "set_requires_all_reduce":
        for native, ours in four.run(accumulated, hold, 1.0):
            assert largest(native, ours) < 1e-15
        held.append(four.run(accumulated, hold, DENSITY))
    for (_, one), (_, other) in zip(*held, strict=True):
        assert largest(one, other) < 1e-15


def off_by_precision(reduce_dtype: torch.dtype) -> None:
    """Reduce in less precision than residuals are kept in."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=reduce_dtype)
    model, state = compressed(rb.TopK(density=DENSITY), mp_policy=policy)
    twin = sharded.sharded(mesh()["shard"], mp_policy=policy)
    backward(model, 0)
    backward(twin, 0)
    given, kept = gradients(twin), residuals(state)
    sent = {name: given[name] - kept[name] for name in kept}
    for name, aggregate in mean_of_replicas(sent).items():
        assert torch.equal(aggregate.to(reduce_dtype).double(), gradients(model)[name])


def test_mixed_precision(four: Ranks) -> None:
    for reduce_dtype in torch.float32, torch.bfloat16, torch.float16:
        four.run(off_by_precision, reduce_dtype)


def with_an_unused_parameter() -> None:
    """Have it used by the first replica, then by none."""
    model, state = compressed(rb.TopK(density=DENSITY))
    twin = sharded.sharded(mesh()["shard"])
    before = {name: torch.zeros_like(each) for name, each in gradients(model).items()}
    for iteration in range(4):
        options = {"shifted": iteration == 0 and sharded.replica() == 0}
        for each in model, twin:
            each.zero_grad()
            backward(each, iteration, **options)
        given, kept = gradients(twin), residuals(state)
        sent = {name: before[name] + given[name] - kept[name] for name in kept}
        assert largest(mean_of_replicas(sent), gradients(model)) < 1e-15
        before = kept


def test_a_parameter_without_gradient_has_a_gradient_of_0(four: Ranks) -> None:
    four.run(with_an_unused_parameter)
