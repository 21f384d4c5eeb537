"""FSDP2: replicas, in two shards each as a rule, of a network whose shards are uneven."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import distribute_tensor

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, compress_replicas

DENSITY = 0.2

SPARSIFIERS = [
    rb.TopK(density=DENSITY),
    rb.RegTopK(density=DENSITY, mu=1.0),
    rb.RandomK(density=DENSITY),
    rb.Oracle(density=DENSITY),
    rb.PerLayer(rb.TopK(density=DENSITY)),
]

MODULES = {
    "first": ("first.weight", "first.bias"),
    "gain": ("gain.factor",),
    "": ("shift", "last.weight", "last.bias"),
}
"""The modules given to `fully_shard`, and the parameters of each."""


class Gain(nn.Module):
    """A parameter of one entry: the second rank has nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Network(nn.Module):
    """Parameters of 7, 3 and 1 rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gain, self.last = nn.Linear(5, 7), Gain(), nn.Linear(7, 3)
        self.shift = nn.Parameter(torch.zeros(3))
        self.register_buffer("offset", torch.rand(3))

    def forward(self, x: Tensor, *, shifted: bool = True) -> Tensor:
        y = self.gain(self.last(torch.tanh(self.first(x)))) + self.offset
        return y + self.shift if shifted else y


@functools.cache
def mesh(shards: int = 2) -> DeviceMesh:
    shape = dist.get_world_size() // shards, shards
    return init_device_mesh("cpu", shape, mesh_dim_names=("replicate", "shard"))


def replica() -> int:
    return mesh().get_local_rank("replicate")


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network().double()


def sharded(
    over: DeviceMesh, *, seed: int = 0, modules: Iterable[str] = MODULES, **options: Any
) -> Network:
    """Return a network, some of whose modules `fully_shard` was called for."""
    model = network(seed)
    for name in modules:
        fully_shard(model.get_submodule(name), mesh=over, **options)
    return model


def compressed(
    sparsifier: rb.Sparsifier,
    *,
    shards: int = 2,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Network, SparseState]:
    """Return a network whose replicas exchange what they send, and which differ before they do."""
    over = mesh(shards)
    model = sharded(over["shard"], seed=over.get_local_rank("replicate"), **options)
    state = SparseState(sparsifier, over.get_group("replicate"), **(settings or {}))
    compress_replicas(model, state)
    return model, state


def batch(iteration: int, rank: int | None = None) -> tuple[Tensor, Tensor]:
    """Return what a rank sees in an iteration, (x, y)."""
    rank = dist.get_rank() if rank is None else rank
    generator = torch.Generator().manual_seed(1000 * iteration + rank)
    x = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    return x, (x[:, :3] * x[:, 2:]).sin()


def backward(
    model: nn.Module,
    iteration: int,
    rank: int | None = None,
    *,
    nan_at: int | None = None,
    **options: Any,
) -> None:
    """Take a backward pass; one entry of the gradient of `shift` may be NaN."""
    x, y = batch(iteration, rank)
    loss = nn.functional.mse_loss(model(x, **options).double(), y)
    if nan_at is not None:
        loss = loss + torch.nan * model.shift[nan_at]
    loss.backward()


def train(
    model: nn.Module,
    iterations: Iterable[int],
    each: Callable[[int], None] = lambda iteration: None,
    rate: float = 0.3,
) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for iteration in iterations:
        optimizer.zero_grad()
        backward(model, iteration)
        each(iteration)
        optimizer.step()


def load(model: nn.Module, parameters: dict[str, Tensor]) -> None:
    """Give a network what `whole` returned."""
    with torch.no_grad():
        for name, each in model.named_parameters():
            each.copy_(distribute_tensor(parameters[name], each.device_mesh, each.placements))


def whole(model: nn.Module) -> dict[str, Tensor]:
    """Return all parameters, put together from their shards."""
    return {name: each.full_tensor().detach() for name, each in model.named_parameters()}


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return this rank's shards of the gradients, as far as they have entries."""
    shards = {}
    for name, each in model.named_parameters():
        shard = (each if each.grad is None else each.grad).detach().to_local()
        if shard.numel():
            shards[name] = torch.zeros_like(shard) if each.grad is None else shard
    return shards


def mean_of_replicas(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean over the ranks with the same shards."""
    means = {}
    for name, each in tensors.items():
        total = each.clone()
        dist.all_reduce(total, group=mesh().get_group("replicate"))
        means[name] = total / 2
    return means


def residuals(state: SparseState) -> dict[str, Tensor]:
    """Return this rank's shards of the residuals, as far as they have entries."""
    saved, shards = copy.deepcopy(state.state_dict()), {}
    for section in saved["sections"]:
        records = [saved["parameters"][number] for number in section["parameters"]]
        (row,) = (row for name, row in section["entries"].items() if "residual" in name)
        sizes = [torch.Size(record["shape"]).numel() for record in records]
        for record, part in zip(records, row[0].split(sizes), strict=True):
            if part.numel():
                shards[record["name"].split(",")[0]] = part.view(record["shape"])
    return shards


def largest(some: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    """Return the largest difference."""
    assert some.keys() == others.keys()
    return max((some[name] - others[name]).abs().max().item() for name in some)
