"""From a trace, or from measurements, to the runs of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from regtopk_bench.results.schema import Run, Scalar
from regtopk_bench.timing import Measurement
from regtopk_bench.training import Trace


def run_of(
    cell: Mapping[str, Scalar],
    trace: Trace,
    status: Literal["finished", "failed", "stopped"] = "finished",
    error: str | None = None,
    facts: Mapping[str, float] | None = None,
) -> Run:
    """Return a trace as a run: its metrics' last values, its bytes, its times.

    Args:
        cell: Its configuration and seed.
        trace: What happened.
        status: How it ended.
        error: What went wrong.
        facts: More to say among the metrics.
    """
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
        metrics=metrics | dict(facts or {}),
        traces=traces,
        execution=execution,
    )


def runs_of_measurements(
    cell: Mapping[str, Scalar], measurements: Sequence[Measurement]
) -> list[Run]:
    """Return what was measured of each contender as a run, with the times it is paired with.

    A step has to move three values per element, a selection one.
    """
    rivals = {
        each.contender.operation: each.seconds
        for each in measurements
        if each.contender.implementation == "torch.topk"
    }
    runs = []
    for each in measurements:
        contender, data = each.contender, each.contender.data
        element = data.start_1J.element_size() * data.dim
        moved = {"step": 3 * element, "select": element}.get(contender.operation, 0)
        metrics: dict[str, int | float] = {
            "k": data.k,
            "moved_bytes": moved,
            "limit_bytes": 3 * element,
        }
        traces = {"seconds": each.seconds, "limit_seconds": each.limit_seconds}
        if contender.operation in rivals:
            traces["topk_seconds"] = rivals[contender.operation]
        who = {
            "operation": contender.operation,
            "implementation": contender.implementation,
            "case": contender.case,
        }
        runs.append(
            Run(
                cell={**who, **cell},
                status="finished",
                metrics=metrics if each.exact is None else metrics | {"exact": int(each.exact)},
                traces=traces,
                execution={"rounds": each.rounds, "misses": each.misses},
            )
        )
    return runs
