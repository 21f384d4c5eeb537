"""Loops without DDP: the gradients of all ranks are aggregated after the backward pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, compress_gradients
from tests.distributed import training
from tests.distributed.ranks import Ranks


def trained(sparsifier: rb.Sparsifier, start_iteration: int = 0) -> Tensor:
    model = training.network()
    state = SparseState(sparsifier, start_iteration=start_iteration)
    training.train(
        model,
        range(12),
        momentum=0.9,
        after_backward=lambda iteration: compress_gradients(model, state),
    )
    return training.flat(model)


def test_every_sparsifier_trains_as_in_a_simulation(two: Ranks) -> None:
    for name, sparsifier in training.SPARSIFIERS.items():
        first, second = two.run(trained, sparsifier)
        assert torch.equal(first, second), name
        recipe = {"rounds": 12, "learning_rate": 0.1, "momentum": 0.9, "processes": 1}
        trace = rb.simulate(training.Twin(2), sparsifier, **recipe)
        simulated = torch.from_numpy(trace.final_parameters)
        assert torch.allclose(first, simulated, rtol=0.0, atol=1e-12), name


def test_a_dense_start_is_dense(two: Ranks) -> None:
    (dense, _) = two.run(trained, rb.Dense())
    for parameters in two.run(trained, rb.TopK(density=0.01), 12):
        assert torch.equal(parameters, dense)


class Convolutions(nn.Module):
    """Two layers whose weights lie in memory by channels, and one of another data type."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
        self.to(memory_format=torch.channels_last)
        self.scale = nn.Parameter(torch.ones(4, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.ones(7), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).tanh()).mean((2, 3)) * self.scale


def convolved(ddp: bool) -> Tensor:
    model = Convolutions()
    state = SparseState(rb.PerLayer(rb.TopK(density=0.2)), scope="global")
    run = training.wrapped(model, state) if ddp else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for iteration in range(6):
        generator = torch.Generator().manual_seed(10 * iteration + dist.get_rank())
        x = torch.randn(4, 3, 8, 8, generator=generator)
        optimizer.zero_grad()
        run(x.to(memory_format=torch.channels_last)).square().mean().backward()
        if not ddp:
            compress_gradients(model, state)
        for parameter in model.parameters():
            if parameter.requires_grad:
                assert parameter.grad.dtype == parameter.dtype
                assert parameter.grad.stride() == parameter.stride()
        optimizer.step()
    return training.flat(model)


def test_memory_formats_and_data_types_are_kept(two: Ranks) -> None:
    (ddp, _), answers = two.run(convolved, True), two.run(convolved, False)
    for parameters in answers:
        assert torch.equal(parameters, answers[0])
        assert torch.allclose(parameters, ddp, rtol=0.0, atol=1e-6)


def partly_used() -> list[Tensor]:
    """One rank has no gradient for a layer, then none has: return what they get there."""
    model = training.network()
    state = SparseState(rb.TopK(density=1.0))
    last = list(model.parameters())[-1]
    found = []
    for unused_in in ({0}, {0, 1}):
        model.zero_grad()
        training.loss_of(model, 0).backward()
        if dist.get_rank() in unused_in:
            last.grad = None
        compress_gradients(model, state)
        found.append(last.grad.clone())
    return found


def test_a_parameter_without_gradient_counts_as_zero(two: Ranks) -> None:
    first, second = two.run(partly_used)
    assert torch.equal(first[0], second[0])
    assert first[0].any()
    assert not first[1].any()
    assert not second[1].any()


def nothing_to_train() -> str:
    with pytest.raises(rb.ConfigurationError) as caught:
        compress_gradients(nn.Linear(2, 2).requires_grad_(False), SparseState(rb.TopK(k=1)))
    return str(caught.value)


def test_nothing_to_train_is_an_error(two: Ranks) -> None:
    for said in two.run(nothing_to_train):
        assert said == "gradients to compress: no parameter of the model requires one"
