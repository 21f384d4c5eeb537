"""A worker's memory of its thresholds, with which one pass over its row is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Guess:
    """What one worker remembers about its thresholds."""

    last: float | None = None
    """The k-th largest score of the last round; None where it is of no use."""

    drift: float = 0.02
    """Running mean of |Δ ln threshold|, which sets how far the bounds are from the last one."""

    misses: int = 0
    """Rounds in which the guess did not hold and more than one pass was needed."""

    batch: Tensor | None = None
    """On a GPU, the same for all workers of a batch, (N, 3); it stays there, because
    reading it would wait for the device."""

    def bracket(self) -> tuple[float, float] | None:
        """Return two bounds that probably bracket the next threshold."""
        if self.last is None:
            return None
        margin = math.exp(0.002 + 3.0 * self.drift)
        return self.last / margin, self.last * margin

    def remember(self, threshold: float) -> None:
        """Set the last round's threshold, as if the rounds before had been steady."""
        if self.batch is None:
            self.last, self.drift = threshold, Guess.drift
        else:
            self.batch[:, 0], self.batch[:, 1] = threshold, Guess.drift

    def threshold(self) -> float:
        """Return the threshold of the last round, or 0."""
        return (self.last or 0.0) if self.batch is None else float(self.batch[0, 0])

    def learn(self, threshold: float, missed: bool) -> None:
        """Learn from the threshold of a round."""
        self.misses += missed
        if self.last and 0.0 < threshold < math.inf:
            change = min(abs(math.log(threshold) - math.log(self.last)), 1.0)
            self.drift += 0.25 * (change - self.drift)
        self.last = threshold if 0.0 < threshold < math.inf else None


def misses(guesses: Sequence[Guess]) -> int:
    """Return how many rounds, over all these workers, had a guess that did not hold."""
    batch = guesses[0].batch
    return sum(guess.misses for guess in guesses) + (0 if batch is None else int(batch[:, 2].sum()))
