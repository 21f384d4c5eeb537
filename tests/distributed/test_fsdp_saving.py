"""FSDP2: saved states, and what goes wrong in one rank or in all of them."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, compress_gradients, compress_replicas
from tests.distributed import sharded
from tests.distributed.ranks import Ranks
from tests.distributed.sharded import (
    DENSITY,
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


def through_a_file(content: Any) -> Any:
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def through_a_pickle(state: SparseState) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has lost its process group
        restored: SparseState = pickle.loads(pickle.dumps(state))
    return restored.state_dict()


def resumed(sparsifier: rb.Sparsifier) -> None:
    """Save after three iterations, and go on with a fresh network and a fresh state."""
    settings = {"start_iteration": 1, "warm_up": ((0.5, 1),)}
    model, state = compressed(sparsifier, settings=settings)
    train(model, range(3))
    parameters = whole(model)
    saved = through_a_file(state.state_dict()), through_a_pickle(state)
    train(model, range(3, 6))
    for each in saved:
        again, fresh = compressed(sparsifier, settings=settings)
        sharded.load(again, parameters)
        fresh.load_state_dict(each)
        train(again, range(3, 6))
        assert largest(whole(model), whole(again)) == 0.0
        assert fresh.iteration == 6
        assert fresh.statistics == state.statistics


def test_a_run_that_goes_on_takes_the_same_course(four: Ranks) -> None:
    for sparsifier in SPARSIFIERS:
        four.run(resumed, sparsifier)


def lost_in_a_step(model: nn.Module, state: SparseState, before: dict[str, torch.Tensor]) -> float:
    """Return the largest part of residuals and gradients that was neither sent nor kept."""
    twin = sharded.sharded(mesh()["shard"])
    sharded.load(twin, whole(model))
    for each in model, twin:
        each.zero_grad()
        backward(each, 3)
    given, kept, received = gradients(twin), residuals(state), gradients(model)
    sent = {name: before[name] + given[name] - kept[name] for name in kept}
    return largest(mean_of_replicas(sent), {name: received[name] for name in kept})


def with_one_module() -> float:
    """Go on where one call of `fully_shard` manages all parameters."""
    model, state = compressed(rb.TopK(density=DENSITY))
    train(model, range(3))
    again, fresh = compressed(rb.TopK(density=DENSITY), modules=[""])
    fresh.load_state_dict(state.state_dict())
    sharded.load(again, whole(model))
    return lost_in_a_step(again, fresh, residuals(state))


def with_a_parameter_frozen() -> float:
    """Go on without one, and then with it again, from a saved state."""
    model, state = compressed(rb.TopK(density=DENSITY))
    train(model, range(3))
    before = residuals(state)
    model.shift.requires_grad_(False)
    compress_replicas(model, state)
    lost = lost_in_a_step(model, state, before)
    again, fresh = compressed(rb.TopK(density=DENSITY))
    fresh.load_state_dict(state.state_dict())
    sharded.load(again, whole(model))
    before = residuals(state) | {"shift": torch.zeros_like(before["shift"])}
    return max(lost, lost_in_a_step(again, fresh, before))


@pytest.mark.parametrize("change", [with_one_module, with_a_parameter_frozen])
def test_nothing_is_lost_with_other_modules(four: Ranks, change: Callable[[], float]) -> None:
    assert max(four.run(change)) < 1e-15


def saved_by_replica() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    model, state = compressed(rb.TopK(density=DENSITY), shards=1)
    train(model, range(3))
    return through_a_file(state.state_dict()), residuals(state)


def owed_with_other_replicas(saved: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Return what a replica goes on from."""
    model, state = compressed(rb.TopK(density=DENSITY), shards=1)
    state.load_state_dict(saved)
    owed = residuals(state)
    train(model, range(3, 4))
    return owed


def mean(each: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([one[name] for one in each]).mean(dim=0) for name in each[0]}


def test_nothing_is_lost_with_other_numbers_of_replicas(two: Ranks, four: Ranks) -> None:
    for old, new in ((two, four), (four, two)):
        saved, owed = zip(*old.run(saved_by_replica), strict=True)
        again = new.run(owed_with_other_replicas, list(saved))
        assert largest(mean(owed), mean(again)) < 1e-15


def failure_of(model: nn.Module, iteration: int = 0, **options: Any) -> str:
    try:
        backward(model, iteration, **options)
    except rb.RegtopkBenchError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def even(saved: list[dict[str, Any]] | None = None) -> tuple[dict[str, Any], str]:
    """Take a step with a network whose shards are alike; return the state and what was wrong."""
    model = fully_shard(nn.Linear(4, 6), mesh=mesh()["shard"])
    state = SparseState(rb.TopK(density=DENSITY), mesh().get_group("replicate"))
    compress_replicas(model, state)
    if saved is not None:
        state.load_state_dict(saved[sharded.dist.get_rank()])
    try:
        model(torch.ones(1, 4)).sum().backward()
    except rb.ConfigurationError as error:
        return {}, str(error)
    return through_a_file(state.state_dict()), ""


def the_same_in_all(said: list[str]) -> str:
    assert len(set(said)) == 1, said
    assert "\n" not in said[0]
    return said[0]


def test_a_state_of_another_shard_is_rejected(four: Ranks) -> None:
    saved = [each for each, _ in four.run(even)]
    assert the_same_in_all([said for _, said in four.run(even, saved)]) == ""
    mixed_up = [saved[1], saved[0], saved[2], saved[3]]
    said = the_same_in_all([said for _, said in four.run(even, mixed_up)])
    assert "a saved state is of a model with other parameters" in said


def with_nan(rank: int, entry: int) -> tuple[str, str]:
    """Meet with NaN in one rank, twice; then go on from what was saved before."""
    model, state = compressed(rb.TopK(density=DENSITY))
    train(model, range(2))
    parameters, saved = whole(model), through_a_file(state.state_dict())
    train(model, range(2, 4))
    undisturbed = whole(model)
    sharded.load(model, parameters)
    state.load_state_dict(saved)
    nan_at = entry if sharded.dist.get_rank() == rank else None
    said = failure_of(model, 2, nan_at=nan_at), failure_of(model, 3)
    with pytest.raises(rb.NonFiniteGradientError):
        state.state_dict()
    sharded.load(model, parameters)
    state.load_state_dict(saved)
    train(model, range(2, 4))
    assert largest(whole(model), undisturbed) == 0.0
    return said


@pytest.mark.parametrize("entry", [0, 2])  # in the first shard, or in the second
@pytest.mark.parametrize("rank", [0, 3])
def test_a_gradient_that_is_not_finite_ends_it_everywhere(
    rank: int, entry: int, four: Ranks
) -> None:
    first, second = zip(*four.run(with_nan, rank, entry), strict=True)
    expected = f"non-finite gradient at worker {rank // 2} in round 3 (1 entry)"
    assert expected in the_same_in_all(list(first))
    assert the_same_in_all(list(second)) == first[0]


def too_many_entries() -> str:
    """Ask for two entries of a module that has one, in the first shard only."""
    model, _ = compressed(rb.TopK(k=2))
    return failure_of(model)


def test_a_failure_of_one_shard_ends_it_everywhere(four: Ranks) -> None:
    assert "k 2" in the_same_in_all(four.run(too_many_entries))


def refused(what: str) -> str:
    """Return why it is."""
    group = mesh().get_group("replicate")
    model = sharded.sharded(mesh()["shard"]) if what != "native" else sharded.sharded(mesh())
    options: dict[str, Any] = {"process_group": group}
    match what:
        case "plain":
            model = sharded.network()
        case "world":
            options = {}
        case "scope":
            options["scope"] = "global"
        case "meta":
            with torch.device("meta"):
                model = sharded.network()
            fully_shard(model, mesh=mesh()["shard"])
    state = SparseState(rb.TopK(density=DENSITY), **options)
    try:
        compress_replicas(model, state)
        if what == "frozen":
            model.shift.requires_grad_(False)
            backward(model, 0)
    except rb.ConfigurationError as error:
        return str(error)
    return ""


def compressed_without_replicas() -> str:
    with pytest.raises(rb.ConfigurationError) as caught:
        compress_gradients(sharded.sharded(mesh()["shard"]), SparseState(rb.TopK(density=DENSITY)))
    return str(caught.value)


def test_what_cannot_be_is_refused(four: Ranks) -> None:
    assert "use compress_replicas" in the_same_in_all(four.run(compressed_without_replicas))
    for what, said in {
        "plain": "fully_shard was not called for the model",
        "native": 'give fully_shard mesh["shard"]',
        "world": 'SparseState mesh.get_group("replicate")',
        "scope": 'scope "global"',
        "meta": "is on the meta device",
        "frozen": "call compress_replicas again",
    }.items():
        for answer in four.run(refused, what):
            assert said in answer, what
            assert "\n" not in answer
