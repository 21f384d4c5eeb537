"""From measurements of kernels to the runs of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regtopk_bench.results import KernelCell, Run, Scalar
from regtopk_bench.timing import Measurement

_VALUES_MOVED = {"step": 3, "select": 1}
"""Values per element that an operation must move: a step reads residual and gradient and writes the
residual, a selection reads the scores."""


def runs_of(
    problem: Mapping[str, Scalar],
    measurements: Sequence[Measurement],
    *,
    environments: Sequence[dict[str, Scalar]],
) -> list[Run]:
    """Return each candidate's measurements as a run, with the times they are paired with.

    Args:
        problem: What the candidates worked on: distribution, dim, density, dtype, device,
            threads.
        measurements: One per candidate, all of the same repeats.
        environments: Where they were timed.
    """
    rivals = {
        each.candidate.operation: each.seconds
        for each in measurements
        if each.candidate.implementation == "torch.topk"
    }
    return [
        _run_of(problem, each, rivals.get(each.candidate.operation), environments)
        for each in measurements
    ]


def _run_of(
    problem: Mapping[str, Scalar],
    measurement: Measurement,
    rival_seconds: list[float] | None,
    environments: Sequence[dict[str, Scalar]],
) -> Run:
    """Return one candidate's run; `rival_seconds` are those of torch.topk for the operation."""
    candidate, data = measurement.candidate, measurement.candidate.data
    bytes_per_value = data.start_1J.element_size() * data.dim
    metrics: dict[str, int | float] = {
        "k": data.k,
        "moved_bytes": _VALUES_MOVED.get(candidate.operation, 0) * bytes_per_value,
        "memory_limit_bytes": _VALUES_MOVED["step"] * bytes_per_value,
    }
    if measurement.exact is not None:
        metrics["exact"] = int(measurement.exact)
    traces = {
        "seconds": measurement.seconds,
        "memory_limit_seconds": measurement.memory_limit_seconds,
    }
    if rival_seconds is not None:
        traces["topk_seconds"] = rival_seconds
    return Run(
        cell=KernelCell(
            problem=dict(problem),
            candidate={
                "operation": candidate.operation,
                "implementation": candidate.implementation,
                "case": candidate.case,
            },
        ),
        status="finished",
        metrics=metrics,
        traces=traces,
        execution={"rounds": measurement.rounds, "misses": measurement.misses},
        environments=list(environments),
    )
