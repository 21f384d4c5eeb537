"""What is to be run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.sparsify import Sparsifier
from regtopk_bench.training.checkpoint import Checkpoints
from regtopk_bench.training.schedule import Schedule
from regtopk_bench.workloads import Workload


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every process of a run has to know."""

    workload: Workload
    sparsifier: Sparsifier
    initial: Tensor
    rounds: int
    learning_rate: float
    schedule: Schedule
    momentum: float
    weight_decay: float
    local_steps: int
    checkpoints: Checkpoints | None
    resume_from: Path | None

    def __post_init__(self) -> None:
        """Refuse what no training could have."""
        for name, value, least in (
            ("rounds", self.rounds, 0),
            ("local_steps", self.local_steps, 1),
        ):
            if value < least:
                raise ConfigurationError(f"{name} {value} is below {least}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0.0):
            raise ConfigurationError(
                f"learning rate {self.learning_rate} is not a finite number above 0"
            )
        if not 0.0 <= self.momentum < 1.0:
            raise ConfigurationError(f"momentum {self.momentum} is not in [0, 1)")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0.0):
            raise ConfigurationError(f"weight_decay {self.weight_decay} is not a number from 0 up")
        if len(self.initial) != self.workload.dim:
            raise ConfigurationError(
                f"{len(self.initial)} initial parameters for a workload of {self.workload.dim}"
            )
