"""From the aggregate to the parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from regtopk_bench.training.recipe import Recipe


class Update:
    """v ← m v + g + λ θ, θ ← θ - η v, with the aggregate g in place of a gradient.

    Attributes:
        parameters_J: θ, changed in place.
        velocity_J: v; None without momentum.
    """

    def __init__(self, recipe: Recipe, parameters_J: Tensor) -> None:
        """Start at these parameters, with v = 0."""
        self.parameters_J = parameters_J
        self.velocity_J = torch.zeros_like(parameters_J) if recipe.momentum else None
        self._momentum, self._weight_decay = recipe.momentum, recipe.weight_decay

    def apply(self, aggregate_J: Tensor, rate: float) -> None:
        """Take a step with this learning rate η."""
        direction_J = aggregate_J
        if self._weight_decay:
            direction_J = direction_J.add(self.parameters_J, alpha=self._weight_decay)
        if self.velocity_J is not None:
            direction_J = self.velocity_J.mul_(self._momentum).add_(direction_J)
        self.parameters_J.sub_(direction_J, alpha=rate)

    def tensors(self) -> dict[str, Tensor]:
        """Return θ and v by name, to be saved; they change with the update."""
        velocity = {} if self.velocity_J is None else {"velocity": self.velocity_J}
        return {"parameters": self.parameters_J, **velocity}
