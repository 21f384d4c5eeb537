"""What else real training does: each case is defined, and nothing is lost in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_wrapper
from torch.distributed.algorithms.join import Join

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, sparse_hook
from tests.distributed import training
from tests.distributed.ranks import Ranks


class Branches(nn.Module):
    """Two branches behind a trunk, not always used."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.trunk, self.left, self.right = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor, branches: str) -> Tensor:
        h = self.trunk(x).tanh()
        outputs = {"l": self.left(h), "r": self.right(h)}
        return sum((outputs[branch] for branch in branches), 0.1 * h[:, :3])


USED = ("lr", "l", "l", "r", "lr", "l", "lr", "lr")
"""Which branches rank 0 uses in each iteration; rank 1 never uses the right one in the middle."""


def branch_ledgers(options: dict[str, Any], set_to_none: bool) -> dict[str, Any]:
    """Add up what parameters had, got and kept while branches rest."""
    model = Branches().double()
    state = SparseState(rb.TopK(density=0.3), model=model)
    ddp = training.wrapped(model, state, find_unused_parameters=True, **options)
    given, got, grads = training.flat(model) * 0.0, training.flat(model) * 0.0, []
    for iteration, mine in enumerate(USED):
        ddp.zero_grad(set_to_none=set_to_none)
        used = mine if dist.get_rank() == 0 else "l"
        x = torch.randn(5, 6, generator=torch.Generator().manual_seed(iteration)).double()
        own = Branches().double()
        own.load_state_dict(model.state_dict())
        own(x, used).square().sum().backward()
        given += training.flat_gradient(own)
        ddp(x, used).square().sum().backward()
        got += training.flat_gradient(model)
        grads.append(None if model.right.weight.grad is None else model.right.weight.grad.clone())
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad
    held = state.state_dict()["held"]
    names = [each["name"] for each in state.state_dict()["parameters"]]
    return {
        "given": given,
        "got": got,
        "kept": training.residuals(state, model),
        "held": {names[number]: part for number, part in held.items()},
        "grads": grads,
        "parameters": training.flat(model),
    }


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("options", [{}, {"gradient_as_bucket_view": True}])
def test_parameters_that_no_rank_uses(
    options: dict[str, Any], set_to_none: bool, two: Ranks
) -> None:
    first, second = two.run(branch_ledgers, options, set_to_none)
    assert torch.equal(first["parameters"], second["parameters"])
    for iteration, used in enumerate(USED):
        for each in first, second:
            if set_to_none:  # DDP leaves them alone, and so does the hook
                assert (each["grads"][iteration] is None) == ("r" not in used)
            elif "r" not in used:
                assert not each["grads"][iteration].any()
    assert not first["held"]  # it was delivered when the branch was used again
    owed = (first["given"] + second["given"]) / 2 - (first["kept"] + second["kept"]) / 2
    for each in first, second:
        assert torch.allclose(each["got"], owed, rtol=0.0, atol=1e-14)


def accumulated(options: dict[str, Any], compiled: bool = False) -> tuple[Tensor, Tensor]:
    """Train with gradients of three batches added up before they are sent, and with their sum."""
    found = []
    for at_once in (False, True):
        model = training.network()
        state = SparseState(rb.RegTopK(density=0.1))
        ddp = training.wrapped(model, state, **options)
        run = torch.compile(ddp, backend="aot_eager") if compiled else ddp
        # DDP itself, with a static graph, fails if its first backward pass is not to be sent.
        optimizer = training.train(run, range(100, 101))
        for step in range(6):
            optimizer.zero_grad()
            batches = range(3 * step, 3 * step + 3)
            if at_once:
                sum(training.loss_of(run, batch) for batch in batches).backward()
            else:
                with ddp.no_sync():
                    for batch in batches[:2]:
                        training.loss_of(run, batch).backward()
                training.loss_of(run, batches[2]).backward()
            optimizer.step()
        assert state.iteration == 7
        found.append(training.flat(model))
    return found[0], found[1]


@pytest.mark.parametrize(
    "options", [{}, {"gradient_as_bucket_view": True}, {"static_graph": True}], ids=str
)
def test_gradient_accumulation(options: dict[str, Any], two: Ranks) -> None:
    answers = two.run(accumulated, options)
    for apart, at_once in answers:
        assert torch.allclose(apart, at_once, rtol=0.0, atol=1e-12)
        assert torch.equal(apart, answers[0][0])


def variant(options: dict[str, Any], compiled: bool = False) -> Tensor:
    model = training.network()
    ddp = training.wrapped(model, SparseState(rb.TopK(density=0.1)), **options)
    run = torch.compile(ddp, backend="aot_eager") if compiled else ddp
    training.train(run, range(8))
    return training.flat(model)


def test_options_of_ddp_change_nothing(two: Ranks) -> None:
    (plain, _) = two.run(variant, {"bucket_cap_mb": 25.0})  # one bucket, whatever DDP does
    for options in (
        {"gradient_as_bucket_view": True},
        {"static_graph": True},
        {"static_graph": True, "gradient_as_bucket_view": True},
    ):
        for trained in two.run(variant, {"bucket_cap_mb": 25.0, **options}):
            assert torch.allclose(trained, plain, rtol=0.0, atol=1e-14), options


def test_compiled_modules(two: Ranks) -> None:
    """Dynamo splits the graph at buckets; with one bucket, the gradients come as without it."""
    for options in ({"bucket_cap_mb": 25.0}, {}):
        (plain, _) = two.run(variant, options)
        first, second = two.run(variant, options, True)
        assert torch.equal(first, second)
        assert torch.allclose(first, plain, rtol=0.0, atol=1e-10)


def clipped() -> list[float]:
    model = training.network()
    ddp = training.wrapped(model, SparseState(rb.TopK(density=0.1)))
    norms = []

    def after_backward(iteration: int) -> None:
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.05)))
        assert float(training.flat_gradient(model).norm()) <= 0.05 + 1e-9

    training.train(ddp, range(5), after_backward=after_backward)
    return norms


def test_clipping_sees_the_aggregate(two: Ranks) -> None:
    first, second = two.run(clipped)
    assert first == second
    assert max(first) > 0.05


def uneven(options: dict[str, Any], sparsifier: rb.Sparsifier, scope: str) -> dict[str, Any]:
    """Train on 4 batches in rank 0 and 9 in rank 1, and then on 3 more in both."""
    model = training.network()
    state = SparseState(sparsifier, model=model, scope=scope)
    ddp = training.wrapped(model, state, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    had = training.flat(model) * 0.0
    start = training.flat(model)

    def step(batch: int) -> None:
        nonlocal had
        own = training.network()
        own.load_state_dict(model.state_dict())
        training.loss_of(own, batch).backward()
        had = had + training.flat_gradient(own)
        optimizer.zero_grad()
        training.loss_of(ddp, batch).backward()
        optimizer.step()

    with Join([ddp]):
        for batch in range(4 if dist.get_rank() == 0 else 9):
            step(batch)
    for batch in range(9, 12):
        step(batch)
    moved = (start - training.flat(model)) / 0.1
    return {
        "had": had,
        "kept": training.residuals(state, model),
        "moved": moved,
        "iteration": state.iteration,
    }


@pytest.mark.parametrize("scope", ["bucket", "global"])
def test_a_rank_without_data_sends_what_it_still_owes(scope: str, two: Ranks) -> None:
    for sparsifier in rb.TopK(density=0.1), rb.Oracle(density=0.1), rb.PerLayer(rb.TopK(k=2)):
        for options in ({}, {"find_unused_parameters": True}):
            answers = two.run(uneven, options, sparsifier, scope)
            sent = sum(each["had"] - each["kept"] for each in answers) / 2
            for each in answers:
                assert each["iteration"] == 12
                assert torch.allclose(each["moved"], sent, rtol=0.0, atol=1e-12)


def half(dtype: torch.dtype, settings: dict[str, Any]) -> tuple[Any, ...]:
    """Train in half precision: dtypes of gradients and residuals, and the loss before and after."""
    model = training.network(dtype)
    state = SparseState(rb.TopK(density=0.2), model=model, **settings)
    ddp = training.wrapped(model, state)
    losses = [training.loss_of(model, batch).item() for batch in range(30)]
    training.train(ddp, range(30))
    kept = training.residuals(state, model)
    after = [training.loss_of(model, batch).item() for batch in range(30)]
    return model[0].weight.grad.dtype, kept.dtype, sum(losses), sum(after)


def test_residuals_of_half_precision_are_float32(two: Ranks) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        for settings in ({}, {"scope": "global"}, {"start_iteration": 5}):
            for gradient, kept, before, after in two.run(half, dtype, settings):
                assert (gradient, kept) == (dtype, torch.float32)
                assert after < before


def wrapped_hook() -> Tensor:
    """The hook within another: gradients of float32, sent by what casts them to float16."""
    model = training.network(torch.float32)
    ddp = training.wrapped(
        model, SparseState(rb.TopK(density=1.0)), fp16_compress_wrapper(sparse_hook)
    )
    training.train(ddp, range(5))
    return training.flat(model)


def test_within_another_hook(two: Ranks) -> None:
    first, second = two.run(wrapped_hook)
    assert torch.equal(first, second)
