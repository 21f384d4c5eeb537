"""What a run trains, and how."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from regtopk_bench.arguments import shown, whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.kernels import check_tensor
from regtopk_bench.messages import Peers
from regtopk_bench.sparsify import Placement, Sparsifier, check_shapes, check_shares, record
from regtopk_bench.training.checkpoint import Checkpoints
from regtopk_bench.training.foreign import watched_sparsifier, watched_workload
from regtopk_bench.training.recipe import Recipe
from regtopk_bench.workloads import Workload
from regtopk_bench.workloads.base import as_float_tensor


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every process of a run needs to know."""

    workload: Workload
    sparsifier: Sparsifier
    recipe: Recipe
    seed: int = 0
    given: Tensor | None = None
    """θ⁰ if the workload should not draw it, (J,)."""
    checkpoints: Checkpoints | None = None
    identity: dict[str, Any] = field(init=False, default_factory=dict)
    """All that determines the course of the run, as numbers and text, if checkpoints are written;
    computed once, before other processes get the plan."""

    def __post_init__(self) -> None:
        """Validate what the recipe alone cannot, and watch what is from outside the package."""
        for value, kind in ((self.workload, Workload), (self.sparsifier, Sparsifier)):
            if not isinstance(value, kind):
                raise ConfigurationError(f"expected a {kind.__name__}, not {shown(value)}")
        object.__setattr__(self, "seed", whole(self.seed, "seed"))
        object.__setattr__(self, "workload", watched_workload(self.workload))
        _check_workload(self.workload)
        if self.given is not None and len(self.given) != self.workload.dim:
            raise ConfigurationError(
                f"{len(self.given)} initial parameters for a workload of {self.workload.dim}"
            )
        if self.checkpoints:
            self.identity.update(_identity(self))
        object.__setattr__(self, "sparsifier", watched_sparsifier(self.sparsifier))

    @functools.cached_property
    def initial_parameters(self) -> Tensor:
        """θ⁰, (J,).

        Raises:
            ConfigurationError: If it cannot be that.
        """
        workload, name = self.workload, "initial parameters"
        if self.given is None:
            initial_J = workload.initial_parameters(self.seed)
        else:
            initial_J = self.given.to(dtype=workload.dtype, device=workload.device)
        device = getattr(initial_J, "device", workload.device)
        if device.type != workload.device.type:
            device = workload.device
        check_tensor(initial_J, name, (workload.dim,), workload.dtype, device)
        if not bool(initial_J.isfinite().all()):
            raise ConfigurationError(f"{name} hold NaN or infinity")
        return initial_J.contiguous()

    @functools.cached_property
    def weights_N(self) -> Tensor:
        """ω, (N,), like the gradients."""
        return self.workload.weights_N.to(self.initial_parameters)

    def placement(self, workers: range, peers: Peers) -> Placement:
        """Return the placement of some of the workers."""
        return Placement(
            workers=workers,
            total=self.workload.workers,
            weights_N=self.weights_N[workers.start : workers.stop],
            shapes=self.workload.shapes,
            dtype=self.workload.dtype,
            device=self.workload.device,
            seed=self.seed,
            peers=peers,
        )

    def trial(self) -> Placement:
        """Return the placement of a single dummy worker."""
        workload = self.workload
        return Placement.alone(
            1,
            workload.dim,
            workload.dtype,
            workload.device,
            weights=torch.ones(1),
            shapes=workload.shapes,
        )


def _check_workload(workload: Workload) -> None:
    """Raise ConfigurationError if a workload does not say, or not consistently, what it is."""
    whole(workload.workers, "workers of the workload", 1)
    whole(workload.dim, "there is nothing to train: dim of the workload", 1)
    if not isinstance(workload.device, torch.device):
        raise ConfigurationError(f"device {shown(workload.device)} of the workload is no device")
    check_shares(workload.weights_N, workload.workers)
    check_shapes(workload.shapes, workload.dim)


def _identity(plan: Plan) -> dict[str, Any]:
    schedule, recipe = dataclasses.asdict(plan.recipe.schedule), plan.recipe.record
    del recipe["schedule"], recipe["warm_up"]
    recipe |= {f"schedule_{name}": value for name, value in schedule.items()}
    sparsifier = {f"sparsifier_{name}": value for name, value in record(plan.sparsifier).items()}
    problem = {f"workload_{name}": value for name, value in plan.workload.identity.items()}
    facts = {**problem, **sparsifier, **recipe, "seed": plan.seed}
    if plan.given is not None:
        content = plan.given.detach().cpu().contiguous().numpy().data
        facts["initial"] = hashlib.sha256(content).hexdigest()
    return facts


def given_parameters(initial: Any) -> Tensor | None:
    """Return the caller's initial parameters as a tensor (J,)."""
    return None if initial is None else as_float_tensor(initial, "initial parameters", 1)
