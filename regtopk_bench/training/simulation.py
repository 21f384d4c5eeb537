"""`simulate`: trains any workload with any sparsifier, in one process or several."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError, InterruptedRun, RunError
from regtopk_bench.messages import Encoding
from regtopk_bench.sparsify import Sparsifier, record
from regtopk_bench.trace import Trace
from regtopk_bench.training.checkpoint import Checkpoints
from regtopk_bench.training.plan import Plan, given_parameters
from regtopk_bench.training.processes import choose_processes
from regtopk_bench.training.recipe import Recipe
from regtopk_bench.training.recorder import Recorder
from regtopk_bench.training.restarts import RESTARTS, Restarts
from regtopk_bench.training.rounds import OnRound, Participant, StoppedError
from regtopk_bench.training.schedule import Schedule
from regtopk_bench.transport import TIMEOUT_SECONDS, LocalTransport, Ranks, Transport, open_pool
from regtopk_bench.workloads import Workload


def simulate(
    workload: Workload,
    sparsifier: Sparsifier,
    *,
    rounds: int,
    learning_rate: float,
    initial: Any = None,
    processes: int | str | Ranks = "auto",
    seed: int = 0,
    schedule: Schedule | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    local_steps: int = 1,
    evaluate_every: int = 1,
    encoding: Encoding | str = Encoding.COORDINATES,
    checkpoints: Checkpoints | None = None,
    on_round: OnRound | None = None,
    timeout: float = TIMEOUT_SECONDS,
    restarts: int = RESTARTS,
) -> Trace:
    """Train a workload with sparsified gradients, and record what happens.

    One round computes every worker's gradient, compresses it, exchanges the messages, and
    applies θ ← θ - η g with the aggregate g = Σ ω_n · message_n. On a CPU the trace is the same,
    bit for bit, for any number of processes, and whether it was resumed or not, or has lost
    processes: these are started again, and go on from the last checkpoint, or else from the
    beginning.

    Args:
        workload: The problem, its data and its N workers.
        sparsifier: Chooses which gradient entries are sent.
        rounds: See `Recipe`, as for everything not described here.
        learning_rate: η.
        initial: θ⁰ (J,); drawn by the workload from `seed` when None.
        processes: How many processes host the workers; "auto" takes the number expected to be
            fastest, and 1 for what cannot be sent to another process, as a lambda. A script that
            uses more than one does what it does below `if __name__ == "__main__":`. Or the ranks
            that torchrun has started, as `joined` yields them.
        seed: Seed of the initial parameters and of random sparsifiers, at least 0.
        schedule: The factor on η in each round; constant when None.
        momentum: m.
        weight_decay: λ.
        local_steps: Steps of a worker in a round.
        evaluate_every: Rounds between evaluations.
        encoding: How messages are written, by name or itself; decides about bytes only.
        checkpoints: Where to save the run from time to time. If there is a checkpoint, the run
            resumes from it. They stay after the run has finished: see `Checkpoints.remove`.
        on_round: Called after each round, and again for rounds that are done again after a restart;
            returning True stops the run early.
        timeout: How many seconds a process may take to start, and may keep the others waiting.
        restarts: How often processes that end early, or do not answer, are started again, with a
            RestartWarning each time. Ranks are started again by torchrun alone.

    Returns:
        The trace, shorter than `rounds` if the callback stopped it.

    Raises:
        ConfigurationError: If an argument cannot be used.
        NonFiniteGradientError: When a gradient is not finite; `error.trace` has the rounds
            before, as for any RunError: of an evaluation that failed, the values are NaN.
        WorkerDiedError: When a process of the pool ended early, or does not answer, and `restarts`
            are used up.
        InterruptedRun: On Ctrl-C, with the finished rounds in `trace`.
    """
    if on_round is not None and not callable(on_round):
        raise ConfigurationError(f"on_round {shown(on_round)} cannot be called")
    if not isinstance(checkpoints, Checkpoints | None):
        raise ConfigurationError(f"expected Checkpoints, not {shown(checkpoints)}")
    recipe = Recipe(
        rounds=rounds,
        learning_rate=learning_rate,
        schedule=Schedule() if schedule is None else schedule,
        momentum=momentum,
        weight_decay=weight_decay,
        local_steps=local_steps,
        evaluate_every=evaluate_every,
        encoding=Encoding.named(encoding),
    )
    plan = Plan(
        workload=workload,
        sparsifier=sparsifier,
        recipe=recipe,
        seed=seed,
        given=given_parameters(initial),
        checkpoints=checkpoints,
    )
    count = choose_processes(plan, processes)
    facts = record(sparsifier, lenient=True)
    launched = processes if isinstance(processes, Ranks) else None
    started = Restarts(0 if launched else restarts)
    name = f"{facts['algorithm']} seed {plan.seed}"
    while True:
        made = launched.restarts if launched else started.made
        recorder = Recorder(
            plan.workload,
            count,
            recipe,
            facts,
            plan.seed,
            restarts=made,
            summable=plan.sparsifier.summable,
        )
        opener = Participant(plan, recorder, on_round)
        try:
            with contextlib.suppress(StoppedError):
                _train(opener, plan, launched or count, timeout)
            return opener.trace()
        except RunError as error:
            if not started.another(error, name, checkpoints.finished() if checkpoints else 0):
                error.trace = opener.trace(cut_short=True)
                raise
        except KeyboardInterrupt:
            raise InterruptedRun(opener.trace(cut_short=True)) from None


def _train(opener: Participant, plan: Plan, processes: int | Ranks, timeout: float) -> None:
    """Train in this process alone or together with others, from the last checkpoint on."""
    workload, checkpoint = plan.workload, plan.checkpoints.latest() if plan.checkpoints else None
    job = functools.partial(_take_part, plan, checkpoint)
    if isinstance(processes, Ranks):
        with processes.open(workload.workers, job, timeout=timeout) as transport:
            opener.train(transport, checkpoint)
    elif processes == 1:
        opener.train(LocalTransport(workload.workers), checkpoint)
    else:
        shape = (workload.workers, processes, workload.dim, workload.dtype.itemsize)
        with open_pool(*shape, job, timeout=timeout) as transport:
            opener.train(transport, checkpoint)


def _take_part(plan: Plan, checkpoint: Path | None, transport: Transport) -> None:
    """Take part in a run from another process."""
    Participant(plan).train(transport, checkpoint)
