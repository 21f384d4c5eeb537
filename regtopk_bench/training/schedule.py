"""How the learning rate changes from round to round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from regtopk_bench.arguments import shown, whole
from regtopk_bench.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The factor on the learning rate in each round."""

    shape: Literal["constant", "step", "cosine"] = "constant"
    """constant: 1. step: 1, then a tenth from half of the rounds on and a hundredth from three
    quarters on (as He et al., arXiv 1512.03385, on CIFAR-10). cosine: ½(1 + cos πt/T), t counted
    from the end of the warm-up (Loshchilov & Hutter, arXiv 1608.03983)."""

    warm_up: int = 0
    """Rounds in which the learning rate rises in equal steps to its full value; not more than there
    are."""

    def __post_init__(self) -> None:
        """Validate ranges."""
        if self.shape not in ("constant", "step", "cosine"):
            raise ConfigurationError(
                f'schedule {shown(self.shape)} is none of "constant", "step" and "cosine"'
            )
        object.__setattr__(self, "warm_up", whole(self.warm_up, "warm_up"))

    def factor(self, round: int, rounds: int) -> float:
        """Return the factor in a round, counted from 0, of a run of this many rounds."""
        if round < self.warm_up:
            return (round + 1) / self.warm_up
        match self.shape:
            case "step":
                return 0.1 ** ((2 * round >= rounds) + (4 * round >= 3 * rounds))
            case "cosine":
                done = (round - self.warm_up) / max(1, rounds - self.warm_up)
                return 0.5 * (1.0 + math.cos(math.pi * done))
            case _:
                return 1.0
