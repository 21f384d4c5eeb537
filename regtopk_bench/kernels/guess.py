"""A worker's memory of its thresholds, which makes one pass over memory enough."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Guess:
    """What one worker remembers of its thresholds."""

    last: float | None = None
    """The k-th largest score of the last round; None where there is no use in it."""

    drift: float = 0.02
    """Running mean of |Δ ln threshold|: how far below the last one the guess has to be."""

    misses: int = 0
    """Rounds in which the guess did not hold, so that a second pass was needed."""

    def lower_bound(self) -> float | None:
        """Return a bound that the next threshold probably exceeds."""
        return None if self.last is None else self.last * math.exp(-0.002 - 3.0 * self.drift)

    def learn(self, threshold: float, missed: bool) -> None:
        """Take in the threshold of a round."""
        self.misses += missed
        if self.last and threshold > 0.0:
            change = min(abs(math.log(threshold) - math.log(self.last)), 1.0)
            self.drift += 0.25 * (change - self.drift)
        self.last = threshold if threshold > 0.0 else None
