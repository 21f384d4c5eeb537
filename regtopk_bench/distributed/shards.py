"""Where the gradients of parameters lie in what FSDP2 reduces, module by module.

PyTorch tells an all-reduce hook neither the module nor the parameters whose gradients it is given.
This file reads them from attributes that are not public, and no other does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from regtopk_bench.distributed.parameters import Form
from regtopk_bench.errors import ConfigurationError


class Shard:
    """This rank's shards of the parameters that one call of `fully_shard` manages.

    The gradients of those to be trained are reduced together, and lie one after another. Each has
    as much room as the largest shard of its parameter in any rank: where that of this rank is
    smaller, zeros follow.

    Attributes:
        name: Of the module in the network.
        device: Where gradients are.
        forms: What the gradient of each parameter is like, without those zeros.
        trained: The parameters to be trained, in the order of their gradients.
        entries: How many entries those have; 0 where there are fewer rows than ranks.
    """

    def __init__(self, name: str, module: Any, group: Any) -> None:
        """Take a module, and what PyTorch calls its parameter group."""
        self.name, self._module, self._group = name, module, group
        self.device: torch.device = group.device
        self.forms: dict[Any, Form] = {
            each.sharded_param: Form(
                tuple(each.sharded_size),
                tuple(each.contiguous_sharded_stride),
                each.sharded_param.dtype,
                self.device,
            )
            for each in group.fsdp_params
        }
        trained = [each for each in group.fsdp_params if each.sharded_param.requires_grad]
        self.trained: list[Tensor] = [each.sharded_param for each in trained]
        self._sizes = [each.sharded_size.numel() for each in trained]
        self._rooms = [each.padded_sharded_param_size.numel() for each in trained]
        self.entries = sum(self._sizes)

    @property
    def meshes(self) -> list[DeviceMesh]:
        """Over which ranks the parameters are spread, in the same order in all of them."""
        return list(dict.fromkeys(parameter.device_mesh for parameter in self.forms))

    @property
    def leaves_replica(self) -> bool:
        """Whether gradients are to be exchanged now; if not, `set_requires_all_reduce(False)`."""
        return bool(self._group.all_reduce_grads)

    def set_hook(self, hook: Callable[[Tensor], None]) -> None:
        """Have gradients given to a hook once they have been reduced, 0 for unused parameters."""
        self._module.set_all_reduce_hook(hook)
        self._module.set_reduce_scatter_unused_params(True, recurse=False)

    def packed(self, reduced_P: Tensor) -> Tensor:
        """Return gradients without what fills up their room, (J,); it may be the same tensor.

        Raises:
            ConfigurationError: If these are the gradients of other parameters.
        """
        if len(reduced_P) != sum(self._rooms):
            raise ConfigurationError(
                f'FSDP module "{self.name}": its gradient has {len(reduced_P)} entries instead of '
                f"{sum(self._rooms)}; after freezing or unfreezing parameters, call "
                "compress_replicas again"
            )
        if self._sizes == self._rooms:
            return reduced_P
        return torch.cat([room[:size] for room, size in self._places(reduced_P)])

    def unpack(self, gradient_J: Tensor, reduced_P: Tensor) -> None:
        """Put gradients, (J,), in the place of those that have been reduced."""
        parts = gradient_J.split(self._sizes)
        for part, (room, size) in zip(parts, self._places(reduced_P), strict=True):
            room[:size] = part

    def _places(self, reduced_P: Tensor) -> Iterator[tuple[Tensor, int]]:
        return zip(reduced_P.split(self._rooms), self._sizes, strict=True)


def shards_of(model: nn.Module) -> list[Shard]:
    """Return the shards of a network, one for each call of `fully_shard` that has any.

    Raises:
        ConfigurationError: If there are none, or PyTorch has no hook for them.
    """
    by_state: dict[Any, Shard] = {}
    for name, module in model.named_modules():
        # By its methods: importing FSDPModule takes longer than everything else here together.
        if not hasattr(module, "set_all_reduce_hook"):
            continue
        if not hasattr(module, "set_reduce_scatter_unused_params"):
            raise ConfigurationError("FSDP2 of this PyTorch is too old: 2.14 is known to work")
        module.reshard()  # so that the parameters are the shards
        state = module._get_fsdp_state()
        groups = state._fsdp_param_groups
        if len(groups) > 1:
            raise ConfigurationError(
                f'FSDP module "{name}" has parameters on several meshes: PyTorch has no all-reduce '
                "hook for them"
            )
        if groups and state not in by_state:
            by_state[state] = Shard(name, module, groups[0])
    if not by_state:
        raise ConfigurationError(
            "replicas to compress for: fully_shard was not called for the model or a part of it"
        )
    return list(by_state.values())
