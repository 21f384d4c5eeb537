"""The choice of the number of processes for a run."""

from __future__ import annotations

import math
import time

from regtopk_bench.arguments import shown
from regtopk_bench.errors import ConfigurationError
from regtopk_bench.threads import available_cores, single_threaded
from regtopk_bench.training.plan import Plan
from regtopk_bench.transport import Ranks
from regtopk_bench.transport.children import end_if_imported
from regtopk_bench.transport.packing import sendable

# Measured on two cores: starting a pool is dominated by importing PyTorch once, an exchange
# by waking up the other process and being woken up by it.
_POOL_START_SECONDS = 4.0
_EXCHANGE_SECONDS = 1e-4
_PROBES = 3
_LONG_SECONDS = 0.3


def choose_processes(plan: Plan, wanted: int | str | Ranks) -> int:
    """Return the number of processes for a run, given the number wanted, "auto" or the ranks."""
    workers, device = plan.workload.workers, plan.workload.device.type
    if isinstance(wanted, Ranks):
        return _among_ranks(plan, wanted)
    if wanted == "auto":
        end_if_imported()  # where this process may choose another number than the one it serves
        count = _fastest_processes(plan)
        return count if count == 1 or sendable(plan) else 1
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= workers:
        raise ConfigurationError(
            f"processes {shown(wanted)} is not between 1 and the number of workers, {workers}"
        )
    if wanted > 1 and device != "cpu":
        raise ConfigurationError(f"processes {wanted}: on {device} one process hosts all workers")
    return wanted


def _among_ranks(plan: Plan, ranks: Ranks) -> int:
    """Return the number of ranks, if they can host the workers."""
    workers, device = plan.workload.workers, plan.workload.device
    if ranks.count > workers:
        raise ConfigurationError(
            f"torchrun has started {ranks.count} processes for {workers} workers: "
            "start at most as many"
        )
    if ranks.count > 1 and device.index is not None:
        raise ConfigurationError(
            f"under torchrun each process has a GPU of its own, and not {device}: "
            'give device "cuda"'
        )
    return ranks.count


def _fastest_processes(plan: Plan) -> int:
    """Estimate which number of processes finishes first, from timed gradients."""
    workload = plan.workload
    candidates = range(1, min(available_cores(), workload.workers) + 1)
    if len(candidates) == 1 or plan.recipe.rounds == 0 or workload.device.type != "cpu":
        return 1
    with single_threaded():
        gradient_seconds = _seconds_of_gradients(plan, range(1)) * workload.workers
        if gradient_seconds < _LONG_SECONDS:  # many workers at once may cost less than one by one
            everyone = range(workload.workers)
            gradient_seconds = min(_seconds_of_gradients(plan, everyone) for _ in range(_PROBES))

    gradient_seconds *= plan.recipe.local_steps

    def expected_seconds(processes: int) -> float:
        largest_shard = math.ceil(workload.workers / processes) / workload.workers
        if processes == 1:
            return plan.recipe.rounds * gradient_seconds
        per_round = gradient_seconds * largest_shard + _EXCHANGE_SECONDS
        return _POOL_START_SECONDS + plan.recipe.rounds * per_round

    return min(candidates, key=expected_seconds)


def _seconds_of_gradients(plan: Plan, workers: range) -> float:
    start = time.perf_counter()
    plan.workload.gradients(plan.initial_parameters, workers, 0)
    return time.perf_counter() - start
