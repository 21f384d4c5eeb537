"""`simulate`: trains any workload with any sparsifier, in one process or several."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError, InterruptedRun, RunError
from regtopk_bench.sparsify import Sparsifier, record
from regtopk_bench.trace import Trace
from regtopk_bench.training.checkpoint import Checkpoints
from regtopk_bench.training.plan import Plan, given_parameters
from regtopk_bench.training.processes import choose_processes
from regtopk_bench.training.recipe import Recipe
from regtopk_bench.training.recorder import Recorder
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
    checkpoints: Checkpoints | None = None,
    on_round: OnRound | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Trace:
    """Train a workload with sparsified gradients, and record what happens.

    One round computes every worker's gradient, compresses it, exchanges the messages, and
    applies θ ← θ - η g with the aggregate g = Σ ω_n · message_n. On a CPU the trace is the same,
    bit for bit, for any number of processes, and whether it was resumed or not.

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
        checkpoints: Where to save the run from time to time. If there is a checkpoint, the run
            resumes from it. They stay after the run has finished: see `Checkpoints.remove`.
        on_round: Called after each round; returning True stops the run early.
        timeout: How many seconds a process may take to start, and may keep the others waiting.

    Returns:
        The trace, shorter than `rounds` if the callback stopped it.

    Raises:
        ConfigurationError: If an argument cannot be used.
        NonFiniteGradientError: When a gradient is not finite; `error.trace` has the rounds
            before, as for any RunError: of an evaluation that failed, the values are NaN.
        WorkerDiedError: When a process of the pool ended early, or does not answer.
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
    )
    plan = Plan(
        workload=workload,
        sparsifier=sparsifier,
        recipe=recipe,
        seed=seed,
        given=given_parameters(initial),
        checkpoints=checkpoints,
        resume_from=checkpoints.latest() if checkpoints else None,
    )
    count = choose_processes(plan, processes)
    facts = record(sparsifier, lenient=True)
    recorder = Recorder(
        plan.workload,
        count,
        evaluate_every,
        facts,
        plan.seed,
        recipe.record,
        summable=plan.sparsifier.summable,
    )
    opener = Participant(plan, recorder, on_round)
    try:
        with contextlib.suppress(StoppedError):
            _train(opener, plan, processes if isinstance(processes, Ranks) else count, timeout)
        return opener.trace()
    except RunError as error:
        error.trace = opener.trace(cut_short=True)
        raise
    except KeyboardInterrupt:
        raise InterruptedRun(opener.trace(cut_short=True)) from None


def _train(opener: Participant, plan: Plan, processes: int | Ranks, timeout: float) -> None:
    """Train in this process alone, or together with others."""
    workload, job = plan.workload, functools.partial(_take_part, plan)
    if isinstance(processes, Ranks):
        with processes.open(workload.workers, job, timeout=timeout) as transport:
            opener.train(transport)
    elif processes == 1:
        opener.train(LocalTransport(workload.workers))
    else:
        shape = (workload.workers, processes, workload.dim, workload.dtype.itemsize)
        with open_pool(*shape, job, timeout=timeout) as transport:
            opener.train(transport)


def _take_part(plan: Plan, transport: Transport) -> None:
    """Take part in a run from another process."""
    Participant(plan).train(transport)
