"""The training loop, one for all workloads, sparsifiers and transports."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regtopk_bench.errors import (
    ConfigurationError,
    InterruptedRun,
    NonFiniteGradientError,
    RunError,
)
from regtopk_bench.sparsify import SparseGradient, Sparsifier
from regtopk_bench.threads import single_threaded
from regtopk_bench.training.checkpoint import Checkpoints
from regtopk_bench.training.encoding import Encoding
from regtopk_bench.training.exchange import aggregate, gather_messages, join_messages
from regtopk_bench.training.plan import Plan
from regtopk_bench.training.processes import choose_processes
from regtopk_bench.training.schedule import Schedule
from regtopk_bench.training.trace import PHASES, Recorder, Trace
from regtopk_bench.transport import LocalTransport, Transport, open_pool
from regtopk_bench.workloads import Workload
from regtopk_bench.workloads.base import as_float_tensor

# Gradients at a time: on a CPU as many as fit into a cache, on a GPU as many as fit at all.
_CPU_ENTRIES = 2**20
_GPU_ENTRIES = 2**29


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


def simulate(
    workload: Workload,
    sparsifier: Sparsifier,
    *,
    rounds: int,
    learning_rate: float,
    initial: Any = None,
    processes: int | str = "auto",
    seed: int = 0,
    schedule: Schedule | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    local_steps: int = 1,
    evaluate_every: int = 1,
    checkpoints: Checkpoints | None = None,
    on_round: OnRound | None = None,
) -> Trace:
    """Train a workload with sparsified gradients, and record what happens.

    One round computes every worker's gradient, compresses it, exchanges the messages, and
    applies θ ← θ - η g with the aggregate g = Σ ω_n · message_n. On a CPU the trace is the same,
    bit for bit, for any number of processes, and whether it was resumed or not.

    Args:
        workload: The problem, its data and its N workers.
        sparsifier: What decides which gradient entries are sent.
        rounds: How many rounds to train, at least 0.
        learning_rate: η.
        initial: θ⁰ (J,); drawn by the workload from `seed` when None.
        processes: How many processes host the workers; "auto" takes what should be fastest.
        seed: Seed of the initial parameters, at least 0.
        schedule: What η is multiplied by in each round; constant when None.
        momentum: m of v ← m v + g + λ θ, θ ← θ - η v, with the aggregate g, as
            `torch.optim.SGD` does with a gradient; 0 for none.
        weight_decay: λ of the same.
        local_steps: Steps that each worker takes by itself, θ_n ← θ_n - η g_n, before it sends
            the sum of the gradients on its way, (θ - θ_n)/η (local SGD, Stich,
            arXiv 1805.09767).
        evaluate_every: After how many rounds metrics are evaluated; after the last they always
            are, unless the run failed or was interrupted.
        checkpoints: Where to save the run now and then. If a checkpoint is there, the run goes
            on from it. They are removed when the run is finished.
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
    if evaluate_every < 1:
        raise ConfigurationError(f"evaluate_every {evaluate_every} is below 1")
    plan = Plan(
        workload=workload,
        sparsifier=sparsifier,
        initial=_initial_parameters(workload, initial, seed),
        rounds=rounds,
        learning_rate=learning_rate,
        schedule=schedule or Schedule(),
        momentum=momentum,
        weight_decay=weight_decay,
        local_steps=local_steps,
        checkpoints=checkpoints,
        resume_from=checkpoints.latest() if checkpoints else None,
    )
    run = _Run(plan, choose_processes(plan, processes), on_round, evaluate_every)
    try:
        _prepare_kernels(plan)
        if run.processes == 1:
            run.rounds(LocalTransport(workload.workers))
        else:
            job = functools.partial(_host, plan)
            shape = (workload.workers, run.processes, workload.dim, workload.dtype.itemsize)
            with open_pool(*shape, job) as transport:
                run.rounds(transport)
    except _StoppedError:
        pass
    except RunError as error:
        error.trace = run.trace(cut_short=True)
        raise
    except KeyboardInterrupt:
        raise InterruptedRun(run.trace(cut_short=True)) from None
    trace = run.trace()
    if checkpoints and trace.rounds == rounds:
        checkpoints.remove()
    return trace


def _initial_parameters(workload: Workload, initial: Any, seed: int) -> Tensor:
    if seed < 0:
        raise ConfigurationError(f"seed {seed} is below 0")
    if initial is None:
        return workload.initial_parameters(seed)
    given_J = as_float_tensor(initial, "initial parameters", 1)
    return given_J.to(dtype=workload.dtype, device=workload.device)


def _prepare_kernels(plan: Plan) -> None:
    """Run the sparsifier on one made-up worker, so that what is compiled or loaded is ready."""
    workload = plan.workload
    weights_1 = torch.ones(1, dtype=workload.dtype, device=workload.device)
    grad_1J = torch.linspace(-1.0, 1.0, workload.dim, dtype=workload.dtype, device=workload.device)[
        None
    ]
    state = plan.sparsifier.init(
        1, workload.dim, workload.dtype, workload.device, weights=weights_1
    )
    for _ in range(2):
        message = plan.sparsifier.compress(state, grad_1J)
        plan.sparsifier.feedback(state, aggregate(message, weights_1))


def _host(plan: Plan, transport: Transport) -> None:
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


class _NoPeers:
    """What a sparsifier is given whose workers are compressed a few at a time."""

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        raise ConfigurationError("a sparsifier that asks its peers must have splits = False")


@dataclass
class _Run:
    """One process's part in a run."""

    plan: Plan
    processes: int
    on_round: OnRound | None
    evaluate_every: int = 1
    recording: bool = True
    recorder: Recorder = field(init=False)
    parameters: Tensor = field(init=False)
    velocity: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        workload = self.plan.workload
        self.parameters = self.plan.initial.clone()
        self.velocity = torch.zeros_like(self.parameters) if self.plan.momentum else None
        if self.recording:
            encoding = Encoding.of(workload.dim, workload.dtype)
            self.recorder = Recorder(workload, encoding, self.processes, self.evaluate_every)

    def trace(self, *, cut_short: bool = False) -> Trace:
        return self.recorder.trace(self.parameters, cut_short=cut_short)

    def rounds(self, transport: Transport) -> None:
        # A run that diverges ends with an error; NumPy's warnings on the way say no more.
        with single_threaded(), np.errstate(over="ignore", invalid="ignore"):
            self._rounds(transport)

    def _rounds(self, transport: Transport) -> None:
        plan, sparsifier = self.plan, self.plan.sparsifier
        workers, parameters_J = transport.workers, self.parameters
        weights_N = plan.workload.weights_N.to(parameters_J)
        peers = _CountedPeers(transport)
        shares = _shares(workers, plan)
        states = [
            sparsifier.init(
                len(share),
                plan.workload.dim,
                parameters_J.dtype,
                parameters_J.device,
                weights=weights_N[share.start : share.stop],
                peers=peers if len(shares) == 1 else _NoPeers(),
            )
            for share in shares
        ]
        if transport.processes > 1:
            _prepare_kernels(plan)
        first = self._resume(shares, states)
        transport.all_gather(torch.zeros(len(workers)))  # so that all begin at the same time
        clock = _clock_of(parameters_J)
        for round in range(first, plan.rounds):
            rate = plan.learning_rate * plan.schedule.factor(round, plan.rounds)
            spent = dict.fromkeys(PHASES, 0.0)
            parts = []
            for share, state in zip(shares, states, strict=True):
                started = clock()
                grad_nJ = self._gradients(share, round, rate)
                computed = clock()
                try:
                    parts.append(sparsifier.compress(state, grad_nJ))
                except NonFiniteGradientError as error:
                    worker = share.start + error.worker
                    raise NonFiniteGradientError(worker, error.entries, round + 1) from None
                del grad_nJ
                spent["gradient"] += computed - started
                spent["sparsify"] += clock() - computed
            compressed = clock()
            message = join_messages(parts)
            messages = gather_messages(message, transport)
            aggregate_J = aggregate(messages, weights_N)
            exchanged = clock()
            for state in states:
                sparsifier.feedback(state, aggregate_J)
            fed_back = clock()
            self._descend(aggregate_J, rate)
            updated = clock()
            if self.recording:
                spent["exchange"] += exchanged - compressed
                spent["sparsify"] += fed_back - exchanged
                spent["update"] += updated - fed_back
                self.recorder.record(parameters_J, messages, aggregate_J, peers.take_count(), spent)
            if plan.checkpoints and plan.checkpoints.due(round + 1):
                self._save(plan.checkpoints, round + 1, states, transport)
            if self.on_round and self.on_round(
                RoundInfo(round + 1, plan.rounds, parameters_J, messages, aggregate_J)
            ):
                raise _StoppedError

    def _gradients(self, workers: range, round: int, rate: float) -> Tensor:
        """Return what each worker has to tell: its gradient, or the sum of those on its way."""
        workload, steps = self.plan.workload, self.plan.local_steps
        if steps == 1:
            return workload.gradients(self.parameters, workers, round)
        sums_nJ = self.parameters.new_zeros(len(workers), workload.dim)
        for sum_J, worker in zip(sums_nJ, workers, strict=True):
            local_J, alone = self.parameters.clone(), range(worker, worker + 1)
            for step in range(round * steps, (round + 1) * steps):
                (grad_J,) = workload.gradients(local_J, alone, step)
                local_J.sub_(grad_J, alpha=rate)
                sum_J.add_(grad_J)
        return sums_nJ

    def _descend(self, aggregate_J: Tensor, rate: float) -> None:
        """Apply the aggregate to the parameters."""
        direction_J = aggregate_J
        if self.plan.weight_decay:
            direction_J = direction_J.add(self.parameters, alpha=self.plan.weight_decay)
        if self.velocity is not None:
            direction_J = self.velocity.mul_(self.plan.momentum).add_(direction_J)
        self.parameters.sub_(direction_J, alpha=rate)

    def _save(
        self, checkpoints: Checkpoints, finished: int, states: list[Any], transport: Transport
    ) -> None:
        """Write a checkpoint: all processes give their rows, the opener writes them."""
        own = [self.plan.sparsifier.state_dict(state) for state in states]
        rows = {}
        for name in own[0]:
            (rows_N,) = transport.all_gather(torch.cat([each[name] for each in own]))
            if self.recording:
                rows[name] = rows_N.clone()
        if self.recording:
            content = {"parameters": self.parameters, "velocity": self.velocity, "rows": rows}
            checkpoints.save(finished, {**content, "recorder": self.recorder.state_dict()})

    def _resume(self, shares: list[range], states: list[Any]) -> int:
        """Go to where the checkpoint was written, if there is one; return the round, from 0."""
        plan = self.plan
        if plan.checkpoints is None or plan.resume_from is None:
            return 0
        content = plan.checkpoints.load(plan.resume_from)
        self.parameters.copy_(content["parameters"])
        if self.velocity is not None:
            self.velocity.copy_(content["velocity"])
        for share, state in zip(shares, states, strict=True):
            own = slice(share.start, share.stop)
            rows = {name: rows_N[own].clone() for name, rows_N in content["rows"].items()}
            rows = {name: rows_n.to(self.parameters.device) for name, rows_n in rows.items()}
            plan.sparsifier.load_state_dict(state, rows)
        if self.recording:
            self.recorder.load_state_dict(content["recorder"])
        return int(content["finished"])


def _shares(workers: range, plan: Plan) -> list[range]:
    """Split workers into those whose gradients are in memory at the same time."""
    if not plan.sparsifier.splits:
        return [workers]
    entries = _CPU_ENTRIES if plan.workload.device.type == "cpu" else _GPU_ENTRIES
    size = max(1, entries // plan.workload.dim)
    return [workers[start : start + size] for start in range(0, len(workers), size)]


def _clock_of(tensor: Tensor) -> Callable[[], float]:
    """Return a clock that waits for the tensor's device before it is read."""
    if tensor.device.type != "cuda":
        return time.perf_counter

    def read() -> float:
        torch.cuda.synchronize(tensor.device)
        return time.perf_counter()

    return read
