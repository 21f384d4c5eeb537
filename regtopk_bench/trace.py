"""What a run did, round by round: arrays and numbers only, readable without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PHASES = ("gradient", "sparsify", "exchange", "update")
"""The parts of a round whose time is measured, in order."""


@dataclass(frozen=True)
class BytesSent:
    """Bytes in each round over all workers, int64 (rounds,)."""

    uplink: NDArray[np.int64]
    """The messages that the N workers sent."""

    downlink: NDArray[np.int64]
    """The aggregate's non-zero entries, sent to each of the N workers."""

    coordination: NDArray[np.int64]
    """What the workers exchanged to agree on a selection; 0 for most sparsifiers."""


@dataclass(frozen=True)
class Trace:
    """The course of one run; `trace["gap"]` is a metric, one value after each round."""

    metrics: Mapping[str, NDArray[np.float64]]
    """Every metric of the workload, float64 (rounds,); NaN after rounds not evaluated."""

    final_parameters: NDArray[np.floating]
    """θ after the last round, (J,)."""

    bytes_sent: BytesSent
    """Exact bytes per round: uplink, downlink and coordination separately."""

    encoding: str
    """The encoding in which the messages' bytes are counted, in words."""

    seconds: Mapping[str, float]
    """Wall time by phase in the process that called `simulate`: see `PHASES`."""

    workers: int
    """N."""

    processes: int
    """How many processes hosted the workers."""

    def __getitem__(self, metric: str) -> NDArray[np.float64]:
        """Return a metric by name."""
        return self.metrics[metric]

    @property
    def rounds(self) -> int:
        """The number of rounds that were finished."""
        return len(self.bytes_sent.uplink)

    @property
    def rounds_per_second(self) -> float:
        """Rounds per second of training time, evaluation of metrics excluded."""
        spent = sum(self.seconds.values())
        return self.rounds / spent if spent > 0.0 else 0.0
