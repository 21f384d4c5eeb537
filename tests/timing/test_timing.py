"""What is timed is what it says: data, candidates, and how they are paired."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
import torch

from regtopk_bench import Placement, RegTopK
from regtopk_bench.kernels import numba_cpu, reference
from regtopk_bench.timing import (
    DISTRIBUTIONS,
    IMPLEMENTATIONS,
    Candidate,
    CpuClock,
    candidates,
    measure,
    problem,
)
from regtopk_bench.timing.candidates import OurStep, PlainStep

DIM, K = 70_000, 700
WARM_STEP = ("step", "warm")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_problems_are_what_they_say(distribution: str, dtype: torch.dtype) -> None:
    data = problem(distribution, DIM, K, dtype, "cpu")
    again = problem(distribution, DIM, K, dtype, "cpu")
    for grad, same in zip(data.grads, again.grads, strict=True):
        assert grad.shape == (1, DIM)
        assert grad.dtype == dtype
        assert torch.equal(grad, same)
        assert bool(grad.isfinite().all())
        assert bool(grad.any())
    assert data.last_1k.shape == (1, K)
    assert bool((data.last_1k.diff() > 0).all())
    assert not data.start_1J.gather(1, data.last_1k).any()
    values = data.grads[0].unique()
    if distribution == "ties":
        assert len(values) < 200
    elif distribution == "constant":
        assert len(values) == 1
    elif distribution == "heavy":
        first, last = data.grads[0][0, : DIM // 20].std(), data.grads[0][0, -DIM // 20 :].std()
        assert last > 1000.0 * first


@pytest.mark.parametrize("dim", [1, 10, 12345])
def test_replayed_gradients_fill_any_size(dim: int) -> None:
    data = problem("replay", dim, 1, torch.float32, "cpu")
    assert data.grads[0].shape == (1, dim)
    assert not torch.equal(data.grads[0], data.grads[1])


@pytest.mark.parametrize("distribution", ["normal", "replay"])
def test_every_candidate_is_measured_and_checked(distribution: str) -> None:
    data = problem(distribution, DIM, K, torch.float32, "cpu")
    seen: list[int] = []
    everyone = list(candidates(data, IMPLEMENTATIONS))
    measured = measure(data, everyone, CpuClock(), repeats=4, on_repeat=seen.append)
    assert seen == [1, 2, 3, 4]
    names = {
        (each.candidate.operation, each.candidate.implementation, each.candidate.case)
        for each in measured
    }
    cases = ("warm", "sampled", "missed", "cold") if distribution == "normal" else ("warm",)
    assert {("step", "numba", case) for case in cases} <= names
    assert {("step", "torch.topk", ""), ("step", "reference", "")} <= names
    for rival in ("torch.topk", "torch.sort", "torch.kthvalue", "numpy.argpartition", "numba"):
        assert ("select", rival, "") in names
    assert sum(name[0] == "score" for name in names) == 2
    assert not any("triton" in name for name in names)
    for each in measured:
        assert len(each.seconds) == len(each.memory_limit_seconds) == 4
        assert min(each.seconds) > 0.0
        assert each.exact is (None if each.candidate.operation == "score" else True)
        case = each.candidate.case
        expected = {"missed": 4, "sampled": 0}.get(case)
        assert expected is None or each.misses == expected, case


def test_a_rival_that_selects_other_entries_is_not_exact() -> None:
    data = problem("constant", 1000, 10, torch.float32, "cpu")
    wrong = PlainStep(data, "last ones", lambda score_J, k: torch.arange(1000 - k, 1000))
    (found,) = measure(data, [wrong], CpuClock(), repeats=3)
    assert found.exact is False


def test_plain_steps_do_the_whole_operation() -> None:
    data = problem("normal", 1000, 10, torch.float64, "cpu")
    step = PlainStep(data, "sort", lambda score_J, k: reference.select(score_J[None], k)[0])
    step.prepare(0)
    selected = step.run()
    expected = data.start_1J.clone()
    wanted, _ = reference.step(expected, data.grads[0], 10, data.last_1k, data.factors_1k)
    assert torch.equal(selected, wanted[0])
    assert torch.equal(step.residual, expected)


def test_replayed_rounds_follow_each_other() -> None:
    """As in training: messages are written to two sets in turn, and the last one is corrected."""
    data = problem("replay", DIM, K, torch.float32, "cpu")
    everyone = list(candidates(data, ["numba", "reference"]))
    ours, plain = (each for each in everyone if isinstance(each, OurStep | PlainStep))
    written = []
    for repeat in range(6):
        for each in (ours, plain):
            each.prepare(repeat)
        last = ours.last.data_ptr()
        selected = ours.run()
        assert torch.equal(selected, plain.run())
        assert torch.equal(ours.residual, plain.residual)
        written.append(selected.data_ptr())
        assert last == (written[-2] if repeat else data.last_1k.data_ptr())
    assert written[0] != written[1]
    assert written == written[:2] * 3


def test_what_is_timed_is_what_sparsifiers_call(monkeypatch: pytest.MonkeyPatch) -> None:
    data = problem("normal", 1000, 10, torch.float32, "cpu")
    seen = []
    step = numba_cpu.step

    def spy(*arguments: Any) -> Any:
        seen.append([type(each) for each in arguments])
        return step(*arguments)

    monkeypatch.setattr(numba_cpu, "step", spy)
    (ours,) = (
        each for each in candidates(data, ["numba"]) if (each.operation, each.case) == WARM_STEP
    )
    ours.prepare(0)
    ours.run()
    sparsifier = RegTopK(density=0.01, mu=4.0)
    state = sparsifier.init(Placement.alone(1, 1000, torch.float32))
    for grad in data.grads[:2]:
        message = sparsifier.compress(state, grad)
        sparsifier.feedback(state, message.total(torch.ones(1)))
    timed, _, trained = seen
    assert timed == trained


class Slow(Candidate):
    """Takes a while, and counts how often it is asked."""

    operation = "step"
    implementation = "slow"

    def run(self) -> None:
        time.sleep(0.02)


def test_slow_candidates_are_repeated_less() -> None:
    data = problem("normal", 100, 1, torch.float32, "cpu")
    (found,) = measure(data, [Slow(data)], CpuClock(), repeats=9, budget=0.05)
    done = [seconds for seconds in found.seconds if not math.isnan(seconds)]
    assert len(done) == 3
    assert len(found.seconds) == len(found.memory_limit_seconds) == 9
    assert np.median(done) >= 0.02
