"""From a trace to the run of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from regtopk_bench.results.schema import Run, Scalar
from regtopk_bench.training import Trace


def run_of(
    cell: Mapping[str, Scalar],
    trace: Trace,
    status: Literal["finished", "failed", "stopped"] = "finished",
    error: str | None = None,
) -> Run:
    """Return a trace as a run: its metrics' last values, its bytes, its times."""
    sent = trace.bytes_sent
    metrics = {name: float(values[-1]) for name, values in trace.metrics.items() if len(values)}
    metrics |= {
        "rounds": trace.rounds,
        "workers": trace.workers,
        "uplink_bytes": int(sent.uplink.sum()),
        "downlink_bytes": int(sent.downlink.sum()),
        "coordination_bytes": int(sent.coordination.sum()),
        "index_bytes": trace.encoding.index_bytes,
        "value_bytes": trace.encoding.value_bytes,
    }
    traces = {name: values.tolist() for name, values in trace.metrics.items()}
    traces |= {"uplink_bytes": sent.uplink.tolist(), "downlink_bytes": sent.downlink.tolist()}
    execution = {f"{phase}_seconds": spent for phase, spent in trace.seconds.items()}
    execution |= {"processes": trace.processes, "rounds_per_second": trace.rounds_per_second}
    return Run(
        cell=dict(cell),
        status=status,
        error=error,
        metrics=metrics,
        traces=traces,
        execution=execution,
    )
