"""What a hook remembers of a model's gradients, from one iteration to the next."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import distributed as dist

from regtopk_bench.distributed.engine import Engine
from regtopk_bench.distributed.resharding import share_of
from regtopk_bench.distributed.settings import Settings
from regtopk_bench.distributed.statistics import Statistics


@dataclass(frozen=True, eq=False)
class SparseState(Settings):
    """Settings and memory of `sparse_hook` or its like for other loops, for one model.

    A rank is a worker: each has its own residual, and the aggregate is the mean of what all ranks
    send. It takes the place of the gradient, so that clipping, momentum and weight decay of
    whatever optimizer act on it as on a dense gradient. Under bfloat16 or float16 training
    gradients are compressed, and residuals kept, in float32: in half precision a residual of many
    iterations would swallow the next gradient.

    A gradient that is not finite, or whatever else goes wrong in one rank before its message is
    sent, is raised in all of them. What goes wrong with a message that has arrived, such as damage
    on its way, is raised in that rank alone: the others learn of it when it leaves the process
    group. Either way, the state can only go on from a saved one. (So a `GradScaler`, which provokes
    infinities, cannot be used: bfloat16 needs none.)
    """

    engine: Engine = field(init=False, repr=False)
    """What does the work; made here."""

    def __post_init__(self) -> None:
        """Validate the settings."""
        super().__post_init__()
        object.__setattr__(self, "engine", Engine(self))

    @property
    def iteration(self) -> int:
        """Iterations finished."""
        return self.engine.iteration

    @property
    def statistics(self) -> Statistics:
        """Bytes before and after compression so far, of this rank."""
        return replace(self.engine.statistics)

    def state_dict(self) -> dict[str, Any]:
        """Return all that later iterations depend on, for this rank: each saves its own.

        It holds numbers, text, lists and tensors, and `torch.load` reads it with
        `weights_only=True`. The tensors are the state's own and change with it.

        A run that goes on from it, with the model and the optimizer saved after the same
        iteration, takes the same course to the bit, if that was the second iteration or a later
        one: only after the first does DDP settle its buckets.

        Raises:
            Exception: What has failed before, in any rank; such a state is of no use.
        """
        return self.engine.state_dict()

    def load_state_dict(self, saved: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Go on from a saved state; all ranks do so before the same iteration.

        Args:
            saved: What `state_dict` returned in this rank. If there were more ranks, or fewer, what
                it returned in all of them, in any order: residuals are averaged or split so that
                what all ranks together owe to the aggregate, Σ ε_n / N, stays the same; what else a
                sparsifier remembers of its last message starts anew.

        Raises:
            ConfigurationError: If it is of another rank, of too few, or no saved state. What does
                not suit the model or the sparsifier is raised in the next iteration.
        """
        group = self.process_group
        self.engine.load_state_dict(
            share_of(saved, dist.get_rank(group), dist.get_world_size(group))
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return settings and memory; neither a process group nor a model can be pickled."""
        left_out = ("process_group", "model", "engine")
        settings = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in left_out
        }
        return {"settings": settings, "saved": self.state_dict()}

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        """Restore them, with the default process group; that it is this rank's is checked later."""
        warnings.warn(
            "a SparseState restored from a pickle has the default process group and no model; "
            "load its state_dict() into a new one to choose them",
            stacklevel=2,
        )
        self.__init__(**pickled["settings"])  # type: ignore[misc]
        self.engine.load_state_dict(pickled["saved"])
