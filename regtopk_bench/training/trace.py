"""What a run leaves behind, and the recorder that collects it round by round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.sparsify import SparseGradient
from regtopk_bench.training.encoding import Encoding
from regtopk_bench.workloads import Workload

_BLOCK_ENTRIES = 2**20
_BLOCK_ROUNDS = 256

PHASES = ("gradient", "sparsify", "exchange", "update")


@dataclass(frozen=True)
class BytesSent:
    """Bytes in each round over all workers, int64 (rounds,), in the trace's encoding."""

    uplink: NDArray[np.int64]
    """The messages that the N workers sent."""

    downlink: NDArray[np.int64]
    """The aggregate's non-zero entries, sent to each of the N workers."""

    coordination: NDArray[np.int64]
    """What the workers told each other to agree on a selection; 0 for most sparsifiers."""


@dataclass(frozen=True)
class Trace:
    """The course of one run; `trace["gap"]` is a metric, one value after each round."""

    metrics: Mapping[str, NDArray[np.float64]]
    """Every metric of the workload, float64 (rounds,); NaN after rounds not evaluated."""

    final_parameters: NDArray[np.floating]
    """θ after the last round, (J,)."""

    bytes_sent: BytesSent
    """Exact bytes per round, uplink and downlink apart."""

    encoding: Encoding
    """The encoding in which they are counted."""

    seconds: Mapping[str, float]
    """Wall time of the opening process by phase: gradient, sparsify, exchange, update."""

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


@dataclass
class Recorder:
    """Collects a trace. Metrics are evaluated for blocks of rounds at once: it is faster."""

    workload: Workload
    encoding: Encoding
    processes: int
    evaluate_every: int = 1
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    _metrics: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    _evaluated: list[int] = field(default_factory=list)
    _uplink: list[int] = field(default_factory=list)
    _downlink: list[int] = field(default_factory=list)
    _coordination: list[int] = field(default_factory=list)
    _pending: int = 0

    def __post_init__(self) -> None:
        """Make room for a block of parameter vectors."""
        dim = self.workload.dim
        rows = max(1, min(_BLOCK_ROUNDS, _BLOCK_ENTRIES // dim))
        self._parameters_TJ = torch.empty(
            rows, dim, dtype=self.workload.dtype, device=self.workload.device
        )
        self._aggregates_TJ = torch.empty_like(self._parameters_TJ)
        # Taken apart once: indexing a tensor costs as much as copying a small row.
        self._rows = list(zip(self._parameters_TJ, self._aggregates_TJ, strict=True))

    def record(
        self,
        parameters_J: Tensor,
        messages: SparseGradient,
        aggregate_J: Tensor,
        coordination: int,
        spent: Mapping[str, float],
    ) -> None:
        """Record a finished round, with the bytes of coordination and the seconds it took."""
        for phase, seconds in spent.items():
            self.seconds[phase] += seconds
        parameters_row_J, aggregate_row_J = self._rows[self._pending]
        parameters_row_J.copy_(parameters_J)
        aggregate_row_J.copy_(aggregate_J)
        self._uplink.append(self._message_bytes(messages))
        self._coordination.append(coordination)
        self._pending += 1
        if self._pending == len(self._parameters_TJ):
            self._flush()

    def trace(self, parameters_J: Tensor, *, cut_short: bool) -> Trace:
        """Return what was recorded so far, with the current parameters.

        A run that was not cut short has its last round evaluated, whether it was its turn or not.
        """
        self._flush()
        rounds = len(self._uplink)
        if rounds and not cut_short and self._evaluated[-1:] != [rounds - 1]:
            self._evaluate(parameters_J[None], [rounds - 1])
        counted = (self._uplink, self._downlink, self._coordination)
        return Trace(
            metrics={name: self._by_round(parts) for name, parts in self._metrics.items()},
            final_parameters=parameters_J.cpu().numpy().copy(),
            bytes_sent=BytesSent(*(np.array(each, dtype=np.int64) for each in counted)),
            encoding=self.encoding,
            seconds=self.seconds,
            workers=self.workload.workers,
            processes=self.processes,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded so far, in lists and numbers."""
        self._flush()
        return {
            "metrics": {
                name: [value for part in parts for value in part.tolist()]
                for name, parts in self._metrics.items()
            },
            "evaluated": list(self._evaluated),
            "uplink": list(self._uplink),
            "downlink": list(self._downlink),
            "coordination": list(self._coordination),
            "seconds": dict(self.seconds),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what was recorded before."""
        self._metrics = {name: [np.array(values)] for name, values in state["metrics"].items()}
        self._evaluated = list(state["evaluated"])
        self._uplink, self._downlink = list(state["uplink"]), list(state["downlink"])
        self._coordination, self.seconds = list(state["coordination"]), dict(state["seconds"])

    def _message_bytes(self, messages: SparseGradient) -> int:
        dim = self.workload.dim
        if messages.counts is None:
            return self.workload.workers * self.encoding.size(messages.indices.shape[1], dim)
        return sum(self.encoding.size(count, dim) for count in messages.counts.tolist())

    def _flush(self) -> None:
        """Evaluate those of the waiting rounds whose turn it is."""
        first, every = len(self._downlink), self.evaluate_every
        skipped = -(first + 1) % every
        waiting_TJ = self._parameters_TJ[: self._pending][skipped::every]
        self._evaluate(waiting_TJ, list(range(first + skipped, first + self._pending, every)))
        workers, dim = self.workload.workers, self.workload.dim
        for nonzero in _count_nonzero(self._aggregates_TJ[: self._pending]):
            self._downlink.append(workers * self.encoding.size(nonzero, dim))
        self._pending = 0

    def _evaluate(self, parameters_TJ: Tensor, rounds: list[int]) -> None:
        if not rounds and self._metrics:
            return
        for name, values_T in self.workload.metrics(parameters_TJ).items():
            self._metrics.setdefault(name, []).append(values_T)
        self._evaluated += rounds

    def _by_round(self, parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        values = np.full(len(self._uplink), np.nan)
        values[self._evaluated] = np.concatenate(parts)
        return values


def _count_nonzero(values_TJ: Tensor) -> list[int]:
    """Return how many entries of each row are not 0."""
    if values_TJ.device.type == "cpu":  # NumPy is several times faster there
        return [int(count) for count in np.count_nonzero(values_TJ.numpy(), axis=1)]
    return [int(count) for count in values_TJ.count_nonzero(dim=1).tolist()]
