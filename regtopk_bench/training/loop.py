"""The training loop, one for all workloads, sparsifiers and transports."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from regtopk_bench.errors import (
    ConfigurationError,
    InterruptedRun,
    NonFiniteGradientError,
    RunError,
)
from regtopk_bench.sparsify import SparseGradient, Sparsifier
from regtopk_bench.training.encoding import Encoding
from regtopk_bench.training.exchange import aggregate, gather_messages
from regtopk_bench.training.threads import available_cores, single_threaded
from regtopk_bench.training.trace import Recorder, Trace
from regtopk_bench.transport import LocalTransport, Transport, open_pool
from regtopk_bench.workloads import Workload
from regtopk_bench.workloads.base import as_float_tensor

# Measured on two cores: starting a pool is dominated by importing PyTorch once, an exchange
# by two hops through semaphores.
_POOL_START_SECONDS = 4.0
_EXCHANGE_SECONDS = 1e-4
_PROBES = 3


@dataclass(frozen=True, slots=True)
class RoundInfo:
    """What a callback is told after each round; tensors are valid until it returns."""

    round: int
    """Rounds finished, from 1."""
    rounds: int
    """Rounds planned."""
    parameters: Tensor
    """θ after the round, (J,)."""
    messages: SparseGradient
    """What the N workers sent."""
    aggregate: Tensor
    """g, (J,)."""


OnRound = Callable[[RoundInfo], bool | None]


@dataclass(frozen=True)
class _Plan:
    """What every process of a run has to know."""

    workload: Workload
    sparsifier: Sparsifier
    rounds: int
    learning_rate: float
    initial: Tensor


def simulate(
    workload: Workload,
    sparsifier: Sparsifier,
    *,
    rounds: int,
    learning_rate: float,
    initial: Any = None,
    processes: int | str = "auto",
    seed: int = 0,
    evaluate_every: int = 1,
    on_round: OnRound | None = None,
) -> Trace:
    """Train a workload with sparsified gradients, and record what happens.

    One round computes every worker's gradient, compresses it, exchanges the messages, and
    applies θ ← θ - η g with the aggregate g = Σ ω_n · message_n. The trace is the same, bit
    for bit, for any number of processes.

    Args:
        workload: The problem, its data and its N workers.
        sparsifier: What decides which gradient entries are sent.
        rounds: How many rounds to train, at least 0.
        learning_rate: η.
        initial: θ⁰ (J,); drawn by the workload from `seed` when None.
        processes: How many processes host the workers; "auto" takes what should be fastest.
        seed: Seed of the initial parameters, at least 0.
        evaluate_every: After how many rounds metrics are evaluated; after the last they always
            are.
        on_round: Called after each round; returning True stops the run early.

    Returns:
        The trace, shorter than `rounds` if the callback stopped it.

    Raises:
        ConfigurationError: If an argument cannot be used.
        NonFiniteGradientError: When a gradient is not finite; `error.trace` has the rounds
            before, as for any RunError.
        WorkerDiedError: When a process of the pool ended.
        InterruptedRun: On Ctrl-C, with the rounds finished in `trace`.
    """
    plan = _plan(workload, sparsifier, rounds, learning_rate, initial, seed)
    if processes == "auto":
        processes = fastest_processes(plan)
    elif isinstance(processes, str) or not 1 <= processes <= workload.workers:
        raise ConfigurationError(
            f"processes {processes} is not between 1 and the number of workers, {workload.workers}"
        )
    if evaluate_every < 1:
        raise ConfigurationError(f"evaluate_every {evaluate_every} is below 1")
    run = _Run(plan, processes, on_round, evaluate_every)
    try:
        if processes == 1:
            run.rounds(LocalTransport(workload.workers))
        else:
            job = functools.partial(_host, plan)
            itemsize = workload.dtype.itemsize
            with open_pool(workload.workers, processes, workload.dim, itemsize, job) as transport:
                run.rounds(transport)
    except _StoppedError:
        pass
    except RunError as error:
        error.trace = run.trace()
        raise
    except KeyboardInterrupt:
        raise InterruptedRun(run.trace()) from None
    return run.trace()


def _plan(
    workload: Workload,
    sparsifier: Sparsifier,
    rounds: int,
    learning_rate: float,
    initial: Any,
    seed: int,
) -> _Plan:
    if rounds < 0:
        raise ConfigurationError(f"rounds {rounds} is below 0")
    if not (math.isfinite(learning_rate) and learning_rate > 0.0):
        raise ConfigurationError(f"learning rate {learning_rate} is not a finite number above 0")
    if seed < 0:
        raise ConfigurationError(f"seed {seed} is below 0")
    if initial is None:
        parameters_J = workload.initial_parameters(seed)
    else:
        parameters_J = as_float_tensor(initial, "initial parameters", 1).to(workload.dtype)
    if len(parameters_J) != workload.dim:
        raise ConfigurationError(
            f"{len(parameters_J)} initial parameters for a workload of {workload.dim}"
        )
    return _Plan(workload, sparsifier, rounds, learning_rate, parameters_J)


def fastest_processes(plan: _Plan) -> int:
    """Estimate which number of processes finishes first, from timed gradients."""
    workload = plan.workload
    candidates = range(1, min(available_cores(), workload.workers) + 1)
    if len(candidates) == 1 or plan.rounds == 0:
        return 1
    gradient_seconds = math.inf
    with single_threaded():
        for _ in range(_PROBES):
            start = time.perf_counter()
            workload.gradients(plan.initial, range(workload.workers), 0)
            gradient_seconds = min(gradient_seconds, time.perf_counter() - start)

    def expected_seconds(processes: int) -> float:
        largest_shard = math.ceil(workload.workers / processes) / workload.workers
        if processes == 1:
            return plan.rounds * gradient_seconds
        per_round = gradient_seconds * largest_shard + _EXCHANGE_SECONDS
        return _POOL_START_SECONDS + plan.rounds * per_round

    return min(candidates, key=expected_seconds)


def _host(plan: _Plan, transport: Transport) -> None:
    """Take part in a run from another process of the pool."""
    _Run(plan, transport.processes, on_round=None, recording=False).rounds(transport)


class _StoppedError(Exception):
    """The callback asked to stop."""


@dataclass
class _CountedPeers:
    """The transport as sparsifiers see it, counting what they send through it."""

    transport: Transport
    sent: int = 0

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        gathered = self.transport.all_gather(*rows)
        self.sent += sum(row.nbytes for row in gathered)
        return gathered

    def take_count(self) -> int:
        sent, self.sent = self.sent, 0
        return sent


@dataclass
class _Run:
    """One process's part in a run."""

    plan: _Plan
    processes: int
    on_round: OnRound | None
    evaluate_every: int = 1
    recording: bool = True
    recorder: Recorder = field(init=False)
    parameters: Tensor = field(init=False)

    def __post_init__(self) -> None:
        workload = self.plan.workload
        self.parameters = self.plan.initial.clone()
        if self.recording:
            encoding = Encoding.of(workload.dim, workload.dtype)
            self.recorder = Recorder(workload, encoding, self.processes, self.evaluate_every)

    def trace(self) -> Trace:
        return self.recorder.trace(self.parameters)

    def rounds(self, transport: Transport) -> None:
        # A run that diverges ends with an error; NumPy's warnings on the way say no more.
        with single_threaded(), np.errstate(over="ignore", invalid="ignore"):
            self._rounds(transport)

    def _rounds(self, transport: Transport) -> None:
        plan, workload, sparsifier = self.plan, self.plan.workload, self.plan.sparsifier
        workers, parameters_J = transport.workers, self.parameters
        weights_N = workload.weights_N.to(workload.dtype)
        peers = _CountedPeers(transport)
        state = sparsifier.init(
            len(workers),
            workload.dim,
            workload.dtype,
            weights=weights_N[workers.start : workers.stop],
            peers=peers,
        )
        clock = time.perf_counter
        for round in range(plan.rounds):
            started = clock()
            grad_nJ = workload.gradients(parameters_J, workers, round)
            computed = clock()
            try:
                message = sparsifier.compress(state, grad_nJ)
            except NonFiniteGradientError as error:
                worker = workers.start + error.worker
                raise NonFiniteGradientError(worker, error.entries, round + 1) from None
            compressed = clock()
            messages = gather_messages(message, transport)
            aggregate_J = aggregate(messages, weights_N)
            exchanged = clock()
            sparsifier.feedback(state, aggregate_J)
            fed_back = clock()
            parameters_J.sub_(aggregate_J, alpha=plan.learning_rate)
            updated = clock()
            if not self.recording:
                continue
            seconds = self.recorder.seconds
            seconds["gradient"] += computed - started
            seconds["sparsify"] += (compressed - computed) + (fed_back - exchanged)
            seconds["exchange"] += exchanged - compressed
            seconds["update"] += updated - fed_back
            self.recorder.record(parameters_J, messages, aggregate_J, peers.take_count())
            if self.on_round and self.on_round(
                RoundInfo(round + 1, plan.rounds, parameters_J, messages, aggregate_J)
            ):
                raise _StoppedError
