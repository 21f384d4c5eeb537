"""Measurements as runs of a result."""

from __future__ import annotations

import torch

from regtopk_bench.experiments.measurements import runs_of
from regtopk_bench.results import KernelCell, Run
from regtopk_bench.timing import CpuClock, candidates, measure, problem

PROBLEM = {"distribution": "normal", "dim": 1000, "density": 0.01, "dtype": "float64"}
PROBLEM |= {"device": "cpu", "threads": 1}
WHERE = [{"cpu": "this one"}]


def timed(*implementations: str) -> dict[tuple[object, ...], Run]:
    """Return runs by operation, implementation and case."""
    data = problem("normal", 1000, 10, torch.float64, "cpu")
    measured = measure(data, list(candidates(data, implementations)), CpuClock(), repeats=3)
    runs = {}
    for run in runs_of(PROBLEM, measured, environments=WHERE):
        assert isinstance(run.cell, KernelCell)
        runs[tuple(run.cell.candidate.values())] = run
    return runs


def test_every_candidate_is_a_run_with_a_cell_of_its_own() -> None:
    runs = timed("numba", "torch.topk")
    assert {("step", "numba", "warm"), ("step", "torch.topk", ""), ("select", "numba", "")} <= set(
        runs
    )
    assert len({run.cell.key for run in runs.values()}) == len(runs)
    for run in runs.values():
        assert isinstance(run.cell, KernelCell)
        assert run.cell.problem == PROBLEM
        assert run.environments == WHERE
        assert run.status == "finished"
        assert len(run.traces["seconds"]) == len(run.traces["memory_limit_seconds"]) == 3


def test_a_step_moves_three_values_per_entry_and_a_selection_one() -> None:
    runs = timed("numba")
    moved = {operation: run.metrics["moved_bytes"] for (operation, *_), run in runs.items()}
    assert moved == {"step": 24_000, "select": 8_000, "score": 0}
    assert {run.metrics["memory_limit_bytes"] for run in runs.values()} == {24_000}


def test_times_are_paired_with_torch_topk_at_the_same_operation() -> None:
    runs = timed("numba", "torch.topk")
    for operation in ("step", "select"):
        rival = runs[operation, "torch.topk", ""].traces["seconds"]
        ours = runs[operation, "numba", "warm" if operation == "step" else ""]
        assert ours.traces["topk_seconds"] == rival
    assert "topk_seconds" not in runs["score", "k factors", ""].traces
    assert all("topk_seconds" not in run.traces for run in timed("numba").values())


def test_only_what_selects_can_be_exact() -> None:
    for (operation, *_), run in timed("numba").items():
        assert run.metrics.get("exact") == (None if operation == "score" else 1)
