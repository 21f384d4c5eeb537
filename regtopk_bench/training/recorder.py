"""Collects a trace round by round."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regtopk_bench.errors import RegtopkBenchError
from regtopk_bench.messages import Message, bytes_of_nonzero
from regtopk_bench.trace import BytesSent, Trace
from regtopk_bench.training.recipe import Recipe
from regtopk_bench.workloads import Workload

_BLOCK_ENTRIES = 2**20
_BLOCK_ROUNDS = 256


@dataclass
class Recorder:
    """Collects a trace. Metrics are evaluated for blocks of rounds at once, which is faster."""

    workload: Workload
    processes: int
    recipe: Recipe
    sparsifier: Mapping[str, str | bool | int | float]
    seed: int
    restarts: int = 0
    summable: bool = False
    """Whether what workers send can be added up on its way."""
    _stated: str = field(default="", init=False)
    _summed: int | None = field(default=None, init=False)
    _metrics: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict, init=False)
    _evaluated: list[int] = field(default_factory=list, init=False)
    _uplink: list[int] = field(default_factory=list, init=False)
    _downlink: list[int] = field(default_factory=list, init=False)
    _coordination: list[int] = field(default_factory=list, init=False)
    _pending: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Allocate a block of parameter vectors."""
        dim = self.workload.dim
        rows = max(1, min(_BLOCK_ROUNDS, _BLOCK_ENTRIES // dim))
        self._parameters_TJ = torch.empty(
            rows, dim, dtype=self.workload.dtype, device=self.workload.device
        )
        self._aggregates_TJ = torch.empty_like(self._parameters_TJ)
        # Split into rows once: indexing a tensor costs as much as copying a small row.
        self._rows = list(zip(self._parameters_TJ, self._aggregates_TJ, strict=True))

    def record(
        self, parameters_J: Tensor, messages: Message, aggregate_J: Tensor, coordination: int
    ) -> None:
        """Record a finished round, with the bytes spent on agreeing on a selection."""
        parameters_row_J, aggregate_row_J = self._rows[self._pending]
        parameters_row_J.copy_(parameters_J)
        aggregate_row_J.copy_(aggregate_J)
        if not self._uplink:
            self._stated = messages.stated(self.recipe.encoding)
            self._summed = messages.value_bytes() if self.summable else None
        self._uplink.append(sum(messages.bytes_N(self.recipe.encoding)))
        self._coordination.append(coordination)
        self._pending += 1
        if self._pending == len(self._parameters_TJ):
            self._flush()

    def trace(
        self, parameters_J: Tensor, seconds: Mapping[str, float], *, cut_short: bool
    ) -> Trace:
        """Return what was recorded so far, with the current parameters.

        Unless the run was cut short, its last round is evaluated even if it was not due. If it was,
        evaluations that fail are left out.
        """
        rounds = len(self._uplink)
        try:
            self._flush()
            if rounds and not cut_short and self._evaluated[-1:] != [rounds - 1]:
                self._evaluate(parameters_J[None], [rounds - 1])
        except RegtopkBenchError:
            if not cut_short:
                raise
            with contextlib.suppress(RegtopkBenchError):
                self._evaluate(self._parameters_TJ[:0], [])  # which metrics there are
        counted = (self._uplink, self._downlink, self._coordination)
        return Trace(
            metrics={name: self._by_round(parts) for name, parts in self._metrics.items()},
            final_parameters=parameters_J.cpu().numpy().copy(),
            bytes_sent=BytesSent(*(np.array(each, dtype=np.int64) for each in counted)),
            encoding=self._stated,
            summed_bytes=self._summed,
            seconds=dict(seconds),
            workers=self.workload.workers,
            processes=self.processes,
            sparsifier=self.sparsifier,
            seed=self.seed,
            recipe=self.recipe.record,
            restarts=self.restarts,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded so far, in lists, numbers and text."""
        self._flush()
        return {
            "metrics": {
                name: [value for part in parts for value in part.tolist()]
                for name, parts in self._metrics.items()
            },
            "evaluated": self._evaluated,
            "uplink": self._uplink,
            "downlink": self._downlink,
            "coordination": self._coordination,
            "encoding": self._stated,
            "summed": self._summed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what was recorded before."""
        self._metrics = {name: [np.array(values)] for name, values in state["metrics"].items()}
        self._evaluated = list(state["evaluated"])
        self._uplink, self._downlink = list(state["uplink"]), list(state["downlink"])
        self._coordination, self._stated = list(state["coordination"]), state["encoding"]
        self._summed = state.get("summed")  # older checkpoints lack it

    def _flush(self) -> None:
        """Evaluate the pending rounds that are due."""
        first, every = len(self._downlink), self.recipe.evaluate_every
        skipped = -(first + 1) % every
        waiting_TJ = self._parameters_TJ[: self._pending][skipped::every]
        due = list(range(first + skipped, first + self._pending, every))
        try:
            self._evaluate(waiting_TJ, due)
        except RegtopkBenchError:
            self._end_block()
            raise
        self._end_block()

    def _end_block(self) -> None:
        """Count the bytes of the pending rounds, of which none is pending then."""
        aggregates_TJ = self._aggregates_TJ[: self._pending]
        for size in bytes_of_nonzero(aggregates_TJ, self.recipe.encoding):
            self._downlink.append(self.workload.workers * size)
        self._pending = 0

    def _evaluate(self, parameters_TJ: Tensor, rounds: list[int]) -> None:
        if not rounds and self._metrics:
            return
        try:
            found = self.workload.metrics(parameters_TJ)
        except RegtopkBenchError:
            if len(rounds) > 1:  # those before the one that fails are worth having
                with contextlib.suppress(RegtopkBenchError):
                    for parameters_J, round in zip(parameters_TJ, rounds, strict=True):
                        self._evaluate(parameters_J[None], [round])
            raise
        for name, values_T in found.items():
            self._metrics.setdefault(name, []).append(values_T)
        self._evaluated += rounds

    def _by_round(self, parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        values = np.full(len(self._uplink), np.nan)
        values[self._evaluated] = np.concatenate(parts)
        return values
