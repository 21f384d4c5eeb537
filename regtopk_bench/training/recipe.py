"""How parameters are trained: everything besides the problem and the sparsifier."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from regtopk_bench.arguments import is_real, shown, whole
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.messages import Encoding
from regtopk_bench.training.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Rounds, learning rate and update.

    Raises:
        ConfigurationError: If a value is out of its range.
    """

    rounds: int
    """How many rounds to train, at least 0."""

    learning_rate: float
    """η > 0."""

    schedule: Schedule = field(default_factory=Schedule)
    """The factor on η in each round."""

    momentum: float = 0.0
    """m of v ← m v + g + λ θ, θ ← θ - η v, with the aggregate g, as in `torch.optim.SGD` with a
    gradient; in [0, 1)."""

    weight_decay: float = 0.0
    """λ of the same, at least 0."""

    local_steps: int = 1
    """Steps that each worker takes by itself, θ_n ← θ_n - η g_n, before it sends the sum of the
    gradients along its way, (θ - θ_n)/η (local SGD, Stich, arXiv 1805.09767)."""

    evaluate_every: int = 1
    """Rounds between evaluations of the metrics; the last round is always evaluated, unless the run
    failed or was interrupted."""

    encoding: Encoding = Encoding.COORDINATES
    """How messages are written, which decides about their bytes and nothing else."""

    def __post_init__(self) -> None:
        """Validate ranges."""
        object.__setattr__(self, "encoding", Encoding.named(self.encoding))
        for name, least in (("rounds", 0), ("local_steps", 1), ("evaluate_every", 1)):
            object.__setattr__(self, name, whole(getattr(self, name), name, least))
        if not isinstance(self.schedule, Schedule):
            raise ConfigurationError(f"schedule {shown(self.schedule)} is not a Schedule")
        if self.schedule.warm_up > self.rounds:
            raise ConfigurationError(
                f"warm_up {self.schedule.warm_up} exceeds rounds {self.rounds}"
            )
        if not (is_real(self.learning_rate) and self.learning_rate > 0.0):
            raise ConfigurationError(
                f"learning rate {shown(self.learning_rate)} is not a finite number above 0"
            )
        if not (is_real(self.momentum) and 0.0 <= self.momentum < 1.0):
            raise ConfigurationError(f"momentum {shown(self.momentum)} is not in [0, 1)")
        if not (is_real(self.weight_decay) and self.weight_decay >= 0.0):
            raise ConfigurationError(
                f"weight_decay {shown(self.weight_decay)} is not a finite number from 0 up"
            )
        for name in ("learning_rate", "momentum", "weight_decay"):
            object.__setattr__(self, name, float(getattr(self, name)))

    def rate(self, round: int) -> float:
        """Return the learning rate of a round, counted from 0."""
        return self.learning_rate * self.schedule.factor(round, self.rounds)

    @property
    def record(self) -> dict[str, str | bool | int | float]:
        """The recipe as plain facts, as it is stored; without the encoding if it is the usual one.

        Recipes that were stored before there was another one have none.
        """
        facts = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        schedule, encoding = facts.pop("schedule"), facts.pop("encoding")
        facts |= {"schedule": schedule.shape, "warm_up": schedule.warm_up}
        return facts if encoding is Encoding.COORDINATES else facts | {"encoding": str(encoding)}
