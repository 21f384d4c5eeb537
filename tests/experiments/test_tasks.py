"""Cells of a suite as things to run: what their metrics say about faulty code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import Tensor

from regtopk_bench.experiments.kernel_cells import KernelProblem
from regtopk_bench.experiments.probe import lost
from regtopk_bench.experiments.tasks import Kernel
from regtopk_bench.messages import SparseGradient
from regtopk_bench.results.baseline import CONSERVATION
from regtopk_bench.sparsify import ErrorFeedback, ErrorFeedbackSparsifier, PerLayer, TopK
from regtopk_bench.timing import Timed

STEP = '''
"""A kernel of a user's own, which forgets something."""

from regtopk_bench.kernels import reference

select = reference.select


def step(residual, grad, k, *others):
    before = residual.clone()
    indices, values = reference.step(residual, grad, k, *others)
    FAULT
    return indices, values
'''


@pytest.mark.parametrize(
    ("number", "distribution", "fault", "kept"),
    [
        (0, "ties", "pass", True),
        (1, "replay", "pass", True),
        (2, "ties", "residual.scatter_(1, indices, values)", False),
        (3, "replay", "residual.scatter_(1, indices, values)", False),
        (4, "ties", "values = values.roll(1, 1)", False),
        (5, "ties", "values = 0 * values; residual.copy_(before + grad)", False),
        (6, "ties", "residual[0, 0] += 1", False),
        (7, "ties", "residual *= float('nan')", False),
    ],
)
def test_a_kernel_must_keep_what_it_does_not_send(
    number: int,
    distribution: str,
    fault: str,
    kept: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = f"forgetful_{number}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    text = STEP.replace("FAULT", fault)
    (tmp_path / package / "kernels.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    problem = KernelProblem(distribution, 2000, 0.1, "float32", "cpu")
    run = Kernel(problem, Timed("step", f"{package}.kernels", "warm")).run()
    assert (run.metrics[CONSERVATION] == 0.0) == kept


@pytest.mark.parametrize(("implementation", "case"), [("numba", "warm"), ("torch.topk", "")])
def test_the_packages_own_steps_keep_it(implementation: str, case: str) -> None:
    problem = KernelProblem("normal", 100_000, 0.01, "float32", "cpu")
    run = Kernel(problem, Timed("step", implementation, case)).run()
    assert run.metrics[CONSERVATION] == 0.0
    assert run.metrics["exact"] == 1


@dataclass(frozen=True, kw_only=True)
class Spoiling(ErrorFeedbackSparsifier):
    """Spoils its messages."""

    by: float

    def compress(self, state: ErrorFeedback, grad_NJ: Tensor) -> SparseGradient:
        """Send the k largest, one of them wrong."""
        message = state.step(grad_NJ)
        message.values[0, 0] += self.by
        return message


@pytest.mark.parametrize("k", [1, 100])
def test_what_is_selected_in_each_layer_is_looked_at_too(k: int) -> None:
    assert lost(PerLayer(TopK(k=k))) == 0.0
    assert lost(PerLayer(Spoiling(k=k, by=0.5))) == pytest.approx(0.5)


def test_what_a_sparsifier_loses_is_seen_even_if_it_is_no_number() -> None:
    assert lost(TopK(density=0.1)) == 0.0
    assert lost(Spoiling(density=0.1, by=0.5)) == pytest.approx(0.5)
    assert math.isnan(lost(Spoiling(density=0.1, by=math.nan)) or 0.0)
