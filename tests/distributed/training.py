"""Training in a rank: a small network, data of the rank's own, and what the hook did."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, sparse_hook
from regtopk_bench.workloads.base import equal_weights
from tests.cli.outside_threshold import Threshold

CAP_MB = 0.004
"""Small enough for two buckets, once DDP has grouped the parameters anew."""

SPARSIFIERS = {
    "dense": rb.Dense(),
    "topk": rb.TopK(density=0.05),
    "regtopk": rb.RegTopK(density=0.2, mu=2.0),
    "regtopk-all": rb.RegTopK(density=1.0),
    "randomk": rb.RandomK(density=0.1),
    "randomk-unbiased": rb.RandomK(density=0.5, error_feedback=False),
    "oracle": rb.Oracle(density=0.05),
    "per-layer": rb.PerLayer(rb.RegTopK(density=0.2)),
    "outside": Threshold(beta=0.9),
}


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Return a small network, the same in every rank."""
    torch.manual_seed(5)
    layers = nn.Linear(12, 40), nn.Tanh(), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 4)
    return nn.Sequential(*layers).to(dtype)


def loss_of(model: nn.Module, iteration: int, rank: int | None = None) -> Tensor:
    """Return the loss on what a rank, this one if None, sees in an iteration."""
    rank = dist.get_rank() if rank is None else rank
    dtype = next(model.parameters()).dtype
    generator = torch.Generator().manual_seed(1000 * iteration + rank)
    x = torch.randn(16, 12, generator=generator)
    y = (x[:, :4] * x[:, 4:8]).sin() + (rank - 0.5) * 0.1
    return nn.functional.mse_loss(model(x.to(dtype)), y.to(dtype))


def wrapped(model: nn.Module, state: Any, hook: Any = sparse_hook, **options: Any) -> Any:
    """Return a model under DDP, with a hook."""
    ddp = DistributedDataParallel(model, **{"bucket_cap_mb": CAP_MB, **options})
    ddp.register_comm_hook(state, hook)
    return ddp


def train(
    model: nn.Module,
    iterations: range,
    *,
    momentum: float = 0.0,
    after_backward: Callable[[int], object] = lambda iteration: None,
    optimizer: torch.optim.Optimizer | None = None,
) -> torch.optim.Optimizer:
    """Take steps, and return the optimizer."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    for iteration in iterations:
        optimizer.zero_grad()
        loss_of(model, iteration).backward()
        after_backward(iteration)
        optimizer.step()
    return optimizer


def flat(model: nn.Module) -> Tensor:
    """Return all parameters, (J,)."""
    return torch.cat([each.detach().flatten() for each in model.parameters()])


def flat_gradient(model: nn.Module) -> Tensor:
    """Return all gradients, (J,), 0 where there is none."""
    return torch.cat(
        [
            (torch.zeros_like(each) if each.grad is None else each.grad).flatten()
            for each in model.parameters()
        ]
    )


def residuals(state: SparseState, model: nn.Module) -> Tensor:
    """Return what this rank has not sent, (J,), whatever the sections are."""
    saved, kept = copy.deepcopy(state.state_dict()), {}
    names = [each["name"] for each in saved["parameters"]]
    for section in saved["sections"]:
        (row,) = (row for name, row in section["entries"].items() if "residual" in name)
        sizes = [np.prod(saved["parameters"][n]["shape"]) for n in section["parameters"]]
        parts = row[0].split([int(size) for size in sizes])
        kept.update(zip((names[n] for n in section["parameters"]), parts, strict=True))
    return torch.cat([kept[name] for name, _ in model.named_parameters()])


@dataclass(eq=False)
class Twin(rb.Workload):
    """The same training as a workload, its workers being the ranks."""

    workers: int

    def __post_init__(self) -> None:
        self.model = network()
        self.dim, self.dtype = flat(self.model).numel(), torch.float64
        self.weights_N = equal_weights(self.workers)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(each.shape) for each in self.model.parameters())

    def initial_parameters(self, seed: int) -> Tensor:
        return flat(network())

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        nn.utils.vector_to_parameters(parameters_J, self.model.parameters())
        rows = []
        for worker in workers:
            self.model.zero_grad()
            loss_of(self.model, round, worker).backward()
            rows.append(flat_gradient(self.model))
        return torch.stack(rows)

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        return {"norm": parameters_TJ.norm(dim=1).numpy()}
