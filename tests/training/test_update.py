"""The update on the aggregate is that of torch.optim.SGD; local steps are those of local SGD."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import regtopk_bench as rb
from regtopk_bench.training import Schedule


def problem() -> rb.LinearRegression:
    return rb.LinearRegression.synthetic(workers=3, samples=40, dim=6, seed=1)


@pytest.mark.parametrize(
    ("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.1), (0.9, 0.1)]
)
@pytest.mark.parametrize("shape", ["constant", "step", "cosine"])
def test_a_dense_run_is_torch_sgd(momentum: float, weight_decay: float, shape: Any) -> None:
    workload = problem()
    trace = rb.simulate(
        workload,
        rb.Dense(),
        rounds=12,
        learning_rate=0.01,
        schedule=Schedule(shape=shape, warm_up=3),
        momentum=momentum,
        weight_decay=weight_decay,
    )
    theta = workload.initial_parameters(0)
    optimizer = torch.optim.SGD([theta], lr=0.01, momentum=momentum, weight_decay=weight_decay)
    rates = []
    for round in range(12):
        (group,) = optimizer.param_groups
        group["lr"] = 0.01 * Schedule(shape=shape, warm_up=3).factor(round, 12)
        rates.append(group["lr"])
        theta.grad = workload.gradients(theta, range(3), round).mean(dim=0)
        optimizer.step()
    assert torch.allclose(torch.from_numpy(trace.final_parameters), theta, rtol=1e-12)
    assert rates[:3] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01])


def test_schedules() -> None:
    step = Schedule(shape="step")
    assert [step.factor(round, 8) for round in (0, 3, 4, 5, 6, 7)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    for round in range(9):
        assert Schedule(shape="cosine").factor(round, 9) == pytest.approx(cosine.get_last_lr()[0])
        optimizer.step()
        cosine.step()


def test_local_steps_are_local_sgd() -> None:
    workload = problem()
    trace = rb.simulate(workload, rb.Dense(), rounds=5, learning_rate=0.01, local_steps=4)
    theta = workload.initial_parameters(0)
    for _ in range(5):
        ends = []
        for worker in range(3):
            local = theta.clone()
            for step in range(4):
                local -= 0.01 * workload.gradients(local, range(worker, worker + 1), step)[0]
            ends.append(local)
        theta = torch.stack(ends).mean(dim=0)
    assert torch.allclose(torch.from_numpy(trace.final_parameters), theta, rtol=1e-12)


def test_local_steps_see_one_batch_after_another() -> None:
    asked = []

    class Watching(rb.LinearRegression):
        def gradients(self, parameters_J: torch.Tensor, workers: range, round: int) -> torch.Tensor:
            asked.append((workers[0], round))
            return super().gradients(parameters_J, workers, round)

    watching = Watching.synthetic(workers=3, samples=40, dim=6)
    rb.simulate(watching, rb.Dense(), rounds=2, learning_rate=0.01, local_steps=2, processes=1)
    assert asked == [(w, 2 * r + s) for r in range(2) for w in range(3) for s in range(2)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"momentum": 1.0}, r"momentum 1.0 is not in \[0, 1\)"),
        ({"weight_decay": -0.1}, "weight_decay -0.1"),
        ({"local_steps": 0}, "local_steps 0 is not at least 1"),
    ],
)
def test_unusable_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(rb.ConfigurationError, match=message):
        rb.simulate(problem(), rb.Dense(), rounds=1, learning_rate=0.01, **wrong)


def test_unusable_schedules_are_refused() -> None:
    with pytest.raises(rb.ConfigurationError, match='schedule "linear"'):
        Schedule(shape="linear")  # type: ignore[arg-type]
    with pytest.raises(rb.ConfigurationError, match="warm_up -1"):
        Schedule(warm_up=-1)
