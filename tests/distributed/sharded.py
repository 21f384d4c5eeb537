"""FSDP2 in four ranks: two replicas, in two shards each, of a network whose shards are uneven."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, compress_replicas

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
def mesh() -> DeviceMesh:
    return init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))


def replica() -> int:
    return mesh().get_local_rank("replicate")


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network().double()


def sharded(
    over: DeviceMesh,
    *,
    seed: int = 0,
    modules: Iterable[str] = MODULES,
    policy: MixedPrecisionPolicy | None = None,
) -> Network:
    model = network(seed)
    for name in modules:
        fully_shard(model.get_submodule(name), mesh=over, mp_policy=policy or MixedPrecisionPolicy())
    return model


def compressed(
    sparsifier: rb.Sparsifier, *, settings: dict[str, Any] | None = None, **options: Any
) -> tuple[Network, SparseState]:
    """Return a network whose replicas exchange what they send, and which differ before they do."""
    model = sharded(mesh()["shard"], **{"seed": replica(), **options})
    state = SparseState(sparsifier, mesh().get_group("replicate"), **(settings or {}))
    compress_replicas(model, state)
    return model, state


def batch(iteration: int, rank: int | None = None) -> tuple[Tensor, Tensor]:
    """Return what a rank sees in an iteration, (x, y)."""
    rank = dist.get_rank() if rank is None else rank
    generator = torch.Generator().manual_seed(1000 * iteration + rank)
    x = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    return x, (x[:, :3] * x[:, 2:]).sin()


def backward(model: nn.Module, iteration: int, rank: int | None = None, **options: Any) -> None:
    x, y = batch(iteration, rank)
    nn.functional.mse_loss(model(x, **options).double(), y).backward()


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


def whole(model: nn.Module) -> dict[str, Tensor]:
    """Return all parameters, put together from their shards."""
    return {name: each.full_tensor().detach() for name, each in model.named_parameters()}


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return this rank's shards of the gradients."""
    return {name: each.grad.to_local() for name, each in model.named_parameters()}


def residuals(state: SparseState) -> dict[str, Tensor]:
    """Return this rank's shards of the residuals."""
    saved, found = state.state_dict(), {}
    for section in saved["sections"]:
        records = [saved["parameters"][number] for number in section["parameters"]]
        sizes = [torch.Size(record["shape"]).numel() for record in records]
        (row,) = (each[0] for name, each in section["entries"].items() if "residual" in name)
        for record, part in zip(records, row.split(sizes), strict=True):
            found[record["name"].split(",")[0]] = part.view(record["shape"])
    return found
