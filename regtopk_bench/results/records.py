"""From a trace to the run of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from regtopk_bench.results.schema import Run, TrainingCell
from regtopk_bench.results.values import Scalar
from regtopk_bench.trace import Trace

Status = Literal["finished", "diverged", "failed", "stopped"]


def run_of(
    cell: TrainingCell,
    trace: Trace,
    status: Status = "finished",
    error: str | None = None,
    *,
    facts: Mapping[str, float],
    environments: Sequence[dict[str, Scalar]],
) -> Run:
    """Return a trace as a run: its metrics' last values, its bytes, its times.

    Args:
        cell: What was run.
        trace: What happened.
        status: How it ended.
        error: What went wrong.
        facts: Further metrics.
        environments: Where it was computed, in order.
    """
    sent = trace.bytes_sent
    metrics: dict[str, int | float] = {
        **trace.final,
        "rounds": trace.rounds,
        "workers": trace.workers,
        "parameters": len(trace.final_parameters),
        **sent.totals,
    }
    traces = {name: values.tolist() for name, values in trace.metrics.items()}
    traces |= {name: by_round.tolist() for name, by_round in sent.by_round.items()}
    execution = {f"{phase}_seconds": spent for phase, spent in trace.seconds.items()}
    execution |= {
        "processes": trace.processes,
        "restarts": trace.restarts,
        "rounds_per_second": trace.rounds_per_second,
    }
    return Run(
        cell=cell,
        status=status,
        error=error,
        metrics=metrics | dict(facts),
        traces=traces,
        execution=execution,
        encoding=trace.encoding or None,
        summed_bytes=trace.summed_bytes,
        environments=list(environments),
    )
