"""What a run did, round by round: arrays and numbers only, readable without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from regtopk_bench.notebook import MOST, data_frame, html_facts, short

if TYPE_CHECKING:
    import pandas as pd

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

    @property
    def totals(self) -> dict[str, int]:
        """The sums over all rounds, under the names that results use."""
        return {name: int(by_round.sum()) for name, by_round in self.by_round.items()}

    @property
    def by_round(self) -> dict[str, NDArray[np.int64]]:
        """The bytes of each round, under the names that results use."""
        return {
            "uplink_bytes": self.uplink,
            "downlink_bytes": self.downlink,
            "coordination_bytes": self.coordination,
        }

    def __repr__(self) -> str:
        """Return the totals."""
        totals = ", ".join(f"{name}={total}" for name, total in self.totals.items())
        return f"BytesSent(rounds={len(self.uplink)}, {totals})"


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
    """Wall time by phase in the process that called `simulate`: see `PHASES`. Of rounds that were
    done again, after a restart or when the run was resumed, the last time only."""

    workers: int
    """N."""

    processes: int
    """How many processes hosted the workers."""

    sparsifier: Mapping[str, str | bool | int | float]
    """Its name, as `algorithm`, and its hyper-parameters, as in results."""

    seed: int
    """That of the run."""

    recipe: Mapping[str, str | bool | int | float]
    """How it was to be trained: rounds, learning rate, momentum, …, as in results."""

    restarts: int = 0
    """How often processes that were lost have been started again since the run began, or was
    resumed; under torchrun, since that has started them first."""

    summed_bytes: int | None = None
    """The size of a sum of messages that can take their place on the way, in the first round: all
    workers sent the same entries. None where every message has to reach every worker."""

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

    @property
    def final(self) -> dict[str, float]:
        """Every metric after the last round; none before the first."""
        return {name: float(values[-1]) for name, values in self.metrics.items() if len(values)}

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each round: metrics and bytes.

        Raises:
            MissingPackageError: If pandas is not installed.
        """
        return data_frame({**self.metrics, **self.bytes_sent.by_round}, numbered="round")

    @property
    def _facts(self) -> dict[str, object]:
        return {
            **self.sparsifier,
            "seed": self.seed,
            "rounds": self.rounds,
            "workers": self.workers,
            "parameters": len(self.final_parameters),
            **dict(islice(self.final.items(), MOST)),
        }

    def __repr__(self) -> str:
        """Return a line: what was run, how far, to which metrics."""
        return (
            f"Trace({', '.join(f'{name}={short(value)!r}' for name, value in self._facts.items())})"
        )

    def _repr_html_(self) -> str:
        """Return a small table: the last value of each metric, bytes and seconds."""
        spent = sum(self.seconds.values())
        return html_facts({**self._facts, **self.bytes_sent.totals, "seconds": spent})
