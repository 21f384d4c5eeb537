"""What a run trains, and how."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import Peers
from regtopk_bench.sparsify import Placement, Sparsifier, record
from regtopk_bench.training.checkpoint import Checkpoints
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
    resume_from: Path | None = None
    identity: dict[str, Any] = field(init=False, default_factory=dict)
    """All that determines the course of the run, as numbers and text, if checkpoints are written;
    computed once, before other processes get the plan."""

    def __post_init__(self) -> None:
        """Validate what the recipe alone cannot."""
        if self.seed < 0:
            raise ConfigurationError(f"seed {self.seed} is below 0")
        if self.given is not None and len(self.given) != self.workload.dim:
            raise ConfigurationError(
                f"{len(self.given)} initial parameters for a workload of {self.workload.dim}"
            )
        if self.checkpoints:
            self.identity.update(_identity(self))

    @functools.cached_property
    def initial_parameters(self) -> Tensor:
        """θ⁰, (J,)."""
        workload = self.workload
        if self.given is None:
            return workload.initial_parameters(self.seed)
        return self.given.to(dtype=workload.dtype, device=workload.device)

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


def _identity(plan: Plan) -> dict[str, Any]:
    recipe = dataclasses.asdict(plan.recipe)
    recipe |= {f"schedule_{name}": value for name, value in recipe.pop("schedule").items()}
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
