"""The panel Training: what is done to the parameters in each round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from regtopk_bench.errors import ConfigurationError
from regtopk_bench.settings.declare import Group, setting
from regtopk_bench.settings.kinds import (
    AtLeast,
    AtMost,
    Below,
    Count,
    NonNegative,
    Positive,
    Seeds,
    Whole,
)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Group, panel="Training", decides=True):
    """Settings of all training."""

    rounds: Whole = setting(2500, "Rounds of training.", short="-r")
    learning_rate: Positive = setting(0.01, "Learning rate η.", short="-l")


@dataclass(frozen=True, kw_only=True)
class SeededTraining(TrainingSettings):
    """Training repeated on several seeds."""

    seeds: Seeds = setting(
        (0,),
        "Seeds of data, initial parameters and draws, by number: 0,3,7 are three, 0-9 are ten, and "
        "10 is one. Several give confidence intervals.",
        short="-s",
    )


@dataclass(frozen=True, kw_only=True)
class ImageTraining(SeededTraining):
    """Training of a network."""

    schedule: Literal["constant", "step", "cosine"] = setting(
        "constant",
        "Learning-rate schedule: constant, step (a tenth at 1/2 and 3/4), cosine.",
    )
    warm_up: Whole = setting(0, "Warm-up rounds, in which the learning rate rises.")
    momentum: Annotated[float, AtLeast(0), Below(1)] = setting(
        0.0, "Momentum of the update, applied to the aggregate, in [0, 1)."
    )
    weight_decay: NonNegative = setting(0.0, "Weight decay, applied to the aggregate.")
    local_steps: Count = setting(
        1, "Steps that a worker takes before it sends the sum of their gradients."
    )
    evaluate_every: Annotated[int, AtLeast(1), AtMost(1e9)] = setting(
        50, "Rounds between evaluations."
    )

    def __post_init__(self) -> None:
        """Check constraints across settings."""
        super().__post_init__()
        if self.warm_up > self.rounds:
            raise ConfigurationError(
                f"warm_up {self.warm_up} exceeds rounds {self.rounds}: lower --warm-up"
            )
