"""Training with FSDP2: gradients are reduced within a replica, and sparsified between replicas."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributed as dist

from regtopk_bench.distributed.line import Line
from regtopk_bench.distributed.parameters import plain
from regtopk_bench.distributed.shards import Shard, shards_of
from regtopk_bench.distributed.state import SparseState
from regtopk_bench.errors import ConfigurationError


@torch.no_grad()
def compress_replicas(model: nn.Module, state: SparseState) -> None:
    """Let replicas of a network under FSDP2 exchange what they send of their gradients.

    This takes the place of the all-reduce of hybrid sharding (HSDP). `fully_shard` is given only
    the shard dimension of the mesh, and so reduces gradients within each replica; then every rank
    exchanges its shard with the ranks that have the same shard of the other replicas:

    ```python
    mesh = init_device_mesh("cuda", (2, 8), mesh_dim_names=("replicate", "shard"))
    for block in model.blocks:
        fully_shard(block, mesh=mesh["shard"])
    fully_shard(model, mesh=mesh["shard"])
    state = SparseState(RegTopK(density=0.01), mesh.get_group("replicate"))
    compress_replicas(model, state)
    ```

    A worker is a replica, and the aggregate the mean over replicas of what they send. A rank
    selects among the entries of its shard of the parameters that one `fully_shard` call manages: k
    of them, at least 1, for each such call. Every backward pass that reduces gradients is an
    iteration. While `set_requires_gradient_sync(False)` or `set_requires_all_reduce(False)` holds,
    gradients add up, and their sum is compressed with the next pass. What
    `set_gradient_divide_factor` sets holds within a replica.

    Parameters and buffers are copied from the first replica to the others, because `fully_shard`
    does not see that they are equal. A parameter that a pass does not use has a gradient of 0, not
    None, and what it still owes is sent. With a `reduce_dtype` of bfloat16 or float16 the aggregate
    is rounded to it, as that of an all-reduce is; the residual is not.

    On a GPU, where it is untested, the exchange runs in FSDP's stream for all-reduces. The host
    waits for it, so that it overlaps with less of the backward pass than an all-reduce does.

    Args:
        model: The network, after `fully_shard`, and with values. If parameters are frozen or
            unfrozen later, call this again.
        state: Its state, whose process group joins the ranks with the same shard. Each rank saves
            its own, in a file of its own. When it is loaded, there may be more replicas, or fewer,
            and other `fully_shard` calls, but the shards must be the same.

    Raises:
        ConfigurationError: If the model is not sharded so, or the state is not for it.
        NonFiniteGradientError: From `backward`, in all ranks of all replicas, if a gradient is not
            finite; `worker` is the replica, and `round` the iteration, from 1.
        Exception: Likewise, whatever else goes wrong in one rank.
    """
    if state.scope != "bucket":
        raise ConfigurationError(
            f'scope "{state.scope}": FSDP2 gives up the gradient of a module before it has that of '
            'the next; use scope "bucket"'
        )
    shards = shards_of(model)
    _check(model, shards, state.process_group)
    _copy_first_replica(model, shards[0].device, state.process_group)
    hook = _Hook(model, shards, state)
    for shard in shards:
        shard.set_hook(functools.partial(hook.reduce, shard))


class _Hook:
    """What the modules of a network have in common."""

    def __init__(self, model: nn.Module, shards: Sequence[Shard], state: SparseState) -> None:
        self._engine = state.engine
        self._held: dict[Shard, Tensor] = {}
        self._last_call: object = None
        meshes = dict.fromkeys(mesh for shard in shards for mesh in shard.meshes)
        groups = [group for mesh in meshes for group in mesh.get_all_groups()]
        self._groups = [group for group in groups if dist.get_world_size(group) > 1]
        names = {parameter: plain(name) for name, parameter in model.named_parameters()}
        for shard in shards:
            for parameter, form in shard.forms.items():
                # With its place, so that none is taken for another when a saved state is loaded.
                mesh = parameter.device_mesh
                place = f"shard {tuple(mesh.get_coordinate())} of {tuple(mesh.shape)}"
                self._engine.parameters.add(parameter, f"{names[parameter]}, {place}", form)
        self._engine.foresee([shard.trained for shard in shards if shard.entries])

    def reduce(self, shard: Shard, reduced_P: Tensor) -> None:
        """Put the aggregate in the place of a gradient that was reduced within the replica.

        On CUDA this runs in FSDP's own stream for all-reduces.
        """
        if reduced_P.is_cuda:  # FSDP may free it before this stream has done all that follows
            reduced_P.record_stream(torch.cuda.current_stream())
        held_P = self._held.pop(shard, None)
        if held_P is not None:
            reduced_P.add_(held_P)
        if not shard.leaves_replica:
            self._held[shard] = reduced_P.clone()
            reduced_P.zero_()
            return
        if shard.entries:
            self._exchange(shard, reduced_P)
        self._last_call = call = object()
        queue = torch.autograd.Variable._execution_engine.queue_callback
        queue(functools.partial(self._end, call, reduced_P.device))

    def _exchange(self, shard: Shard, reduced_P: Tensor) -> None:
        marks = bytes([1] * len(shard.trained))
        gradient_J = shard.packed(reduced_P)
        aggregated = self._engine.take(shard.trained, gradient_J, marks, last=False, alone=True)
        shard.unpack(aggregated.wait(), reduced_P)

    def _end(self, call: object, device: torch.device) -> None:
        """End an iteration after the last call of it, and raise in all ranks what failed in one.

        A failure is known to the ranks with the same shard, and must not be raised before FSDP has
        come to its own end: the others wait for these ranks' part in the rest of the pass.
        """
        if call is not self._last_call:
            return
        self._engine.end()
        failure = self._engine.failure
        for group in self._groups:
            line = Line(group, device)
            if failure is not None:
                line.fail(failure)
            try:
                line.complete(line.begin(torch.empty(0, dtype=torch.uint8), room=0))
            except Exception as error:
                failure = error
        if failure is not None:
            self._engine.failure = failure  # of other replicas too: there is nothing to save
            raise failure


def _check(model: nn.Module, shards: Sequence[Shard], group: dist.ProcessGroup | None) -> None:
    """Raise ConfigurationError unless the ranks of the group have the same shards of replicas."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_meta:
            raise ConfigurationError(
                f"{name} is on the meta device: give it values before compress_replicas"
            )
    replicas = set(dist.get_process_group_ranks(group))
    for shard in shards:
        for mesh in shard.meshes:
            both = replicas & set(mesh.mesh.flatten().tolist())
            if len(both) > 1:
                raise ConfigurationError(
                    f'FSDP module "{shard.name}": ranks {sorted(both)} share a replica, and are in '
                    'the process group of the state; give fully_shard mesh["shard"], and '
                    'SparseState mesh.get_group("replicate")'
                )


def _copy_first_replica(
    model: nn.Module, device: torch.device, group: dist.ProcessGroup | None
) -> None:
    for tensor in [*model.parameters(), *model.buffers()]:
        local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
        moved = local.to(device).contiguous()  # offloaded ones lie where they cannot be sent
        dist.broadcast(moved, group=group, group_src=0)
        local.copy_(moved)
