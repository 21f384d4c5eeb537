"""The rounds of a training run, as each process takes part in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.errors import NonFiniteGradientError
from regtopk_bench.messages import Message, aggregate, gather, join
from regtopk_bench.threads import single_threaded
from regtopk_bench.trace import Trace
from regtopk_bench.training.peers import CountedPeers, NoPeers
from regtopk_bench.training.plan import Plan
from regtopk_bench.training.recorder import Recorder
from regtopk_bench.training.saving import load, save
from regtopk_bench.training.stopwatch import Stopwatch
from regtopk_bench.training.update import Update
from regtopk_bench.transport import Transport

# Gradients at a time: on a CPU as many as fit in a cache, on a GPU as many as fit at all.
_CPU_ENTRIES = 2**20
_GPU_ENTRIES = 2**29


@dataclass(frozen=True, slots=True)
class RoundInfo:
    """What a callback receives after each round; tensors are valid until it returns."""

    round: int
    """Rounds finished, from 1."""
    rounds: int
    """Rounds planned."""
    parameters: Tensor
    """θ after the round, (J,)."""
    messages: Message
    """What the N workers sent."""
    aggregate: Tensor
    """g, (J,)."""


OnRound = Callable[[RoundInfo], bool | None]


class StoppedError(Exception):
    """The callback asked to stop."""


@dataclass(frozen=True)
class Chunk:
    """Workers whose gradients are in memory at the same time, and their sparsifier state."""

    workers: range
    state: Any


class Participant:
    """One process's part in a run: some of the workers, and a copy of the parameters.

    Attributes:
        parameters_J: θ, the same in every process.
    """

    def __init__(
        self, plan: Plan, recorder: Recorder | None = None, on_round: OnRound | None = None
    ) -> None:
        """Start from the initial parameters; one of the processes records."""
        self._plan, self._recorder, self._on_round = plan, recorder, on_round
        self.parameters_J = plan.initial_parameters.clone()
        self._update = Update(plan.recipe, self.parameters_J)
        self._watch = Stopwatch(self.parameters_J.device)

    def trace(self, *, cut_short: bool = False) -> Trace:
        """Return what was recorded."""
        assert self._recorder is not None
        with single_threaded():  # as while training
            return self._recorder.trace(self.parameters_J, self._watch.seconds, cut_short=cut_short)

    def train(self, transport: Transport, checkpoint: Path | None) -> None:
        """Take part in all rounds, or in those after a checkpoint."""
        # A run that diverges ends with an error; NumPy's warnings before it add nothing.
        with single_threaded(), np.errstate(over="ignore", invalid="ignore"):
            self._transport, self._peers = transport, CountedPeers(transport)
            self._chunks = self._placed(transport.workers)
            if self._plan.checkpoints:
                self._states()  # what cannot be saved is an error before the first round
            _prepare_kernels(self._plan)
            first = self._resume(checkpoint) if checkpoint else 0
            transport.all_gather(torch.zeros(len(transport.workers)))  # all begin together
            for round in range(first, self._plan.recipe.rounds):
                self._round(round)

    def _round(self, round: int) -> None:
        plan, watch = self._plan, self._watch
        rate = plan.recipe.rate(round)
        watch.start()
        parts = [self._compressed(chunk, round, rate) for chunk in self._chunks]
        messages = gather(join(parts), self._transport)
        aggregate_J = aggregate(messages, plan.weights_N)
        watch.lap("exchange")
        self._peers.closed = True  # gathering now would overwrite the messages
        for chunk in self._chunks:
            plan.sparsifier.feedback(chunk.state, aggregate_J)
        self._peers.closed = False
        watch.lap("sparsify")
        self._update.apply(aggregate_J, rate)
        watch.lap("update")
        if self._recorder:
            coordination = self._peers.take_count()
            self._recorder.record(self.parameters_J, messages, aggregate_J, coordination)
        stop = False
        if self._on_round:  # before saving, which may gather into the messages' memory
            finished = (round + 1, plan.recipe.rounds)
            stop = bool(
                self._on_round(RoundInfo(*finished, self.parameters_J, messages, aggregate_J))
            )
        if plan.checkpoints and plan.checkpoints.due(round + 1):
            self._save(round + 1)
        if stop:
            raise StoppedError

    def _compressed(self, chunk: Chunk, round: int, rate: float) -> Message:
        """Return what the workers of a chunk send."""
        grad_NJ = self._gradients(chunk.workers, round, rate)
        self._watch.lap("gradient")
        try:
            message = self._plan.sparsifier.compress(chunk.state, grad_NJ)
        except NonFiniteGradientError as error:
            worker = chunk.workers.start + error.worker
            raise NonFiniteGradientError(worker, error.entries, round + 1) from None
        self._watch.lap("sparsify")
        return message

    def _placed(self, workers: range) -> list[Chunk]:
        """Split the workers into chunks, each with a state."""
        plan, size = self._plan, len(workers)
        if plan.sparsifier.splits:
            entries = _CPU_ENTRIES if plan.workload.device.type == "cpu" else _GPU_ENTRIES
            size = max(1, entries // plan.workload.dim)
        peers = NoPeers() if plan.sparsifier.splits else self._peers
        chunks = [workers[start : start + size] for start in range(0, len(workers), size)]
        return [
            Chunk(chunk, plan.sparsifier.init(plan.placement(chunk, peers))) for chunk in chunks
        ]

    def _gradients(self, workers: range, round: int, rate: float) -> Tensor:
        """Return what each worker contributes: its gradient, or the sum over its local steps."""
        workload, steps = self._plan.workload, self._plan.recipe.local_steps
        if steps == 1:
            return workload.gradients(self.parameters_J, workers, round)
        sums_NJ = self.parameters_J.new_zeros(len(workers), workload.dim)
        for sum_J, worker in zip(sums_NJ, workers, strict=True):
            local_J, alone = self.parameters_J.clone(), range(worker, worker + 1)
            for step in range(round * steps, (round + 1) * steps):
                (grad_J,) = workload.gradients(local_J, alone, step)
                local_J.sub_(grad_J, alpha=rate)
                sum_J.add_(grad_J)
        return sums_NJ

    def _save(self, finished: int) -> None:
        recorded = None
        if self._recorder:
            recorded = {"recorder": self._recorder.state_dict(), "seconds": self._watch.seconds}
        save(
            self._plan, finished, self._states(), self._update.tensors(), recorded, self._transport
        )

    def _states(self) -> list[dict[str, Tensor]]:
        return [self._plan.sparsifier.state_dict(chunk.state) for chunk in self._chunks]

    def _resume(self, checkpoint: Path) -> int:
        """Continue from a checkpoint; return the next round, from 0."""
        placed = [(chunk.workers, chunk.state) for chunk in self._chunks]
        facts = load(self._plan, checkpoint, placed, self._update.tensors())
        if self._recorder:
            self._recorder.load_state_dict(facts["recorder"])
            self._watch.seconds.update(facts["seconds"])
        return int(facts["finished"])


def _prepare_kernels(plan: Plan) -> None:
    """Run the sparsifier on one dummy worker, to compile or load what it needs."""
    placement, sparsifier = plan.trial(), plan.sparsifier
    grad_J = torch.linspace(
        -1.0, 1.0, placement.dim, dtype=placement.dtype, device=placement.device
    )
    state = sparsifier.init(placement)
    for _ in range(2):
        message = sparsifier.compress(state, grad_J[None])
        sparsifier.feedback(state, aggregate(message, placement.weights_N))
