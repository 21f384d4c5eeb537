from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.messages import Encoding, pack
from regtopk_bench.training import rounds
from tests.training import published


@pytest.mark.parametrize("mu", [None, 1.0, 4.0, 20.0])
@pytest.mark.parametrize(
    ("workers", "samples", "dim", "k"),
    [(20, 500, 100, 60), (4, 60, 17, 5), (7, 20, 45, 1), (3, 50, 30, 29)],
)
def test_reproduces_the_published_equations(
    workers: int, samples: int, dim: int, k: int, mu: float | None
) -> None:
    stream = np.random.default_rng([workers, dim])
    x = stream.normal(size=(workers, samples, dim))
    models = stream.normal(size=(workers, 1)) * 5**0.5 + stream.normal(size=(workers, dim))
    y = np.einsum("ndj,nj->nd", x, models) + stream.normal(size=(workers, samples)) * 0.5**0.5
    theta = stream.uniform(-1, 1, dim) / dim**0.5
    gaps, selections = published.train(x, y, theta, k, 300, 0.01, mu)
    sparsifier = rb.TopK(k=k) if mu is None else rb.RegTopK(k=k, mu=mu)
    seen: list[Any] = []
    trace = rb.simulate(
        rb.LinearRegression(x, y),
        sparsifier,
        rounds=300,
        learning_rate=0.01,
        initial=theta,
        on_round=lambda info: seen.append(info.messages.indices.numpy().copy()),
    )
    for round, (ours, theirs) in enumerate(zip(seen, selections, strict=True)):
        assert np.array_equal(ours, theirs), f"round {round}"
    assert np.allclose(trace["gap"], gaps, rtol=1e-10, atol=0.0)


@pytest.mark.parametrize(
    ("sparsifier", "loss"),
    [
        (rb.Dense(), 0.087972),
        (rb.RegTopK(k=1, mu=1.0), 0.083659),
        (rb.TopK(k=1), 0.313262),
    ],
    ids=["dense", "regtopk", "topk"],
)
def test_motivational_example(sparsifier: rb.Sparsifier, loss: float) -> None:
    trace = rb.simulate(rb.LogisticToy(), sparsifier, rounds=10, learning_rate=0.9)
    assert trace["loss"][-1] == pytest.approx(loss, abs=5e-7)


def test_convergence_claims_of_the_paper() -> None:
    """At density 0.6 RegTop-k follows dense and Top-k stalls; at 0.4 both stall."""
    workload = rb.LinearRegression.synthetic()

    def log_gap(sparsifier: rb.Sparsifier) -> float:
        trace = rb.simulate(workload, sparsifier, rounds=1000, learning_rate=0.01)
        return float(np.log10(trace["gap"][-1]))

    dense = log_gap(rb.Dense())
    assert abs(log_gap(rb.RegTopK(density=0.6, mu=4.0)) - dense) < 0.5
    assert log_gap(rb.TopK(density=0.6)) > dense + 8.0
    for stalling in (
        rb.TopK(density=0.4),
        rb.RegTopK(density=0.4, mu=4.0),
        rb.RegTopK(density=0.6, mu=4.0, denominator="current"),
    ):
        assert log_gap(stalling) > dense + 8.0
    for density in (0.4, 0.6):
        assert abs(log_gap(rb.Oracle(density=density)) - dense) < 0.5


def workload() -> rb.LinearRegression:
    return rb.LinearRegression.synthetic(workers=5, samples=40, dim=16, seed=3)


def test_bytes_are_those_of_the_stated_encoding() -> None:
    seen: list[tuple[int, int]] = []

    def count(info: rb.RoundInfo) -> None:
        each = min(int(info.messages.to_dense()[0].count_nonzero()) * (4 + 8), 16 * 8)
        back = min(int((info.aggregate != 0).sum()) * (4 + 8), 16 * 8)
        seen.append((5 * each, 5 * back))

    for sparsifier in (rb.TopK(k=3), rb.Dense(), rb.TopK(k=15)):
        seen.clear()
        trace = rb.simulate(workload(), sparsifier, rounds=20, learning_rate=0.01, on_round=count)
        sent = trace.bytes_sent
        assert list(zip(sent.uplink.tolist(), sent.downlink.tolist(), strict=True)) == seen
        assert not sent.coordination.any()
    oracle = rb.simulate(workload(), rb.Oracle(k=3), rounds=4, learning_rate=0.01)
    assert oracle.bytes_sent.coordination.tolist() == [5 * 16 * 8] * 4


@pytest.mark.parametrize(
    "sparsifier", [rb.TopK(k=3), rb.Dense(), rb.RegTopK(k=2, values="bfloat16"), rb.TopK(k=16)]
)
def test_what_is_counted_is_what_would_be_sent(sparsifier: rb.Sparsifier) -> None:
    """Up, and down as the entries of the aggregate that are not 0, with values as they are."""
    seen: list[tuple[int, int]] = []

    def pack_all(info: rb.RoundInfo) -> None:
        indices = info.aggregate.nonzero().T.contiguous()
        back = rb.SparseGradient(indices, info.aggregate[indices], 16)
        sizes = [sum(map(len, pack(each, Encoding.COMPACT))) for each in (info.messages, back)]
        seen.append((sizes[0], 5 * sizes[1]))

    options: dict[str, Any] = {"rounds": 5, "learning_rate": 0.01}
    trace = rb.simulate(workload(), sparsifier, encoding="compact", on_round=pack_all, **options)
    sent = trace.bytes_sent
    assert list(zip(sent.uplink.tolist(), sent.downlink.tolist(), strict=True)) == seen
    assert trace.encoding.startswith("compact indices, ")
    assert trace.recipe["encoding"] == "compact"
    usual = rb.simulate(workload(), sparsifier, **options)
    assert np.array_equal(usual.final_parameters, trace.final_parameters)
    assert "encoding" not in usual.recipe


def test_a_trace_has_one_value_after_each_round() -> None:
    thetas: list[Any] = []
    trace = rb.simulate(
        workload(),
        rb.TopK(k=3),
        rounds=600,  # more than the metrics are evaluated for at once
        learning_rate=0.01,
        on_round=lambda info: thetas.append(info.parameters.clone()),
    )
    assert trace.rounds == len(trace["gap"]) == len(trace["loss"]) == 600
    direct = workload().metrics(torch.stack(thetas))
    assert np.allclose(trace["gap"], direct["gap"], rtol=1e-12)
    assert np.array_equal(trace.final_parameters, thetas[-1].numpy())
    assert set(trace.seconds) == {"gradient", "sparsify", "exchange", "update"}
    assert trace.rounds_per_second > 0.0


@pytest.mark.parametrize("every", [2, 3, 7, 100])
@pytest.mark.parametrize("rounds", [1, 6, 601])
def test_metrics_may_be_evaluated_now_and_then(every: int, rounds: int) -> None:
    problem = rb.LinearRegression.synthetic(workers=2, samples=9, dim=5, seed=0)
    settings: dict[str, Any] = {"rounds": rounds, "learning_rate": 0.01, "processes": 1}
    always = rb.simulate(problem, rb.TopK(k=2), **settings)["gap"]
    gap = rb.simulate(problem, rb.TopK(k=2), **settings, evaluate_every=every)["gap"]
    assert len(gap) == rounds
    chosen = [number for number in range(rounds) if (number + 1) % every == 0]
    chosen = sorted({*chosen, rounds - 1})
    assert np.flatnonzero(np.isfinite(gap)).tolist() == chosen
    assert np.allclose(gap[chosen], always[chosen], rtol=1e-9)


def test_no_rounds_give_an_empty_trace() -> None:
    trace = rb.simulate(workload(), rb.TopK(k=3), rounds=0, learning_rate=0.01)
    assert trace.rounds == 0
    assert len(trace["gap"]) == 0


def test_runs_are_reproducible_and_seeds_differ() -> None:
    def run(seed: int) -> Any:
        return rb.simulate(workload(), rb.TopK(k=3), rounds=30, learning_rate=0.01, seed=seed)

    assert np.array_equal(run(1)["gap"], run(1)["gap"])
    assert not np.array_equal(run(1)["gap"], run(2)["gap"])


def test_divergence_names_round_and_worker_and_keeps_the_trace() -> None:
    with pytest.raises(rb.NonFiniteGradientError, match="lower the learning rate") as caught:
        rb.simulate(workload(), rb.Dense(), rounds=5000, learning_rate=10.0)
    trace = caught.value.trace
    assert trace is not None
    assert caught.value.round == trace.rounds + 1
    assert trace["gap"][20] > trace["gap"][0]


def test_an_interrupt_keeps_the_trace() -> None:
    def interrupt(info: rb.RoundInfo) -> None:
        if info.round == 7:
            raise KeyboardInterrupt

    with pytest.raises(rb.InterruptedRun) as caught:
        rb.simulate(workload(), rb.TopK(k=3), rounds=50, learning_rate=0.01, on_round=interrupt)
    assert caught.value.trace.rounds == 7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": -1}, "rounds -1"),
        ({"evaluate_every": 0}, "evaluate_every 0"),
        ({"learning_rate": 0.0}, "learning rate"),
        ({"learning_rate": float("nan")}, "learning rate"),
        ({"seed": -1}, "seed"),
        ({"initial": [1.0, 2.0]}, "2 initial parameters for a workload of 16"),
        ({"initial": "x"}, "initial parameters cannot be read"),
    ],
)
def test_unusable_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    arguments = {"rounds": 1, "learning_rate": 0.1} | wrong
    with pytest.raises(rb.ConfigurationError, match=message):
        rb.simulate(workload(), rb.TopK(k=3), **arguments)


def test_weights_reach_the_aggregate() -> None:
    base = workload()
    base.weights_N = torch.tensor([0.6, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64)
    theta = base.initial_parameters(0)
    expected = theta - 0.01 * (base.weights_N[:, None] * base.gradients(theta, range(5), 0)).sum(0)
    trace = rb.simulate(base, rb.Dense(), rounds=1, learning_rate=0.01)
    assert np.allclose(trace.final_parameters, expected.numpy(), rtol=1e-14)


SELECTIONS = """
import hashlib, regtopk_bench as rb
digest = hashlib.sha256()
def note(info): digest.update(info.messages.indices.numpy().tobytes())
rb.simulate(rb.LinearRegression.synthetic(), rb.RegTopK(density=0.6, mu=4.0), rounds=300,
            learning_rate=0.01, processes=1, on_round=note)
print(digest.hexdigest())
"""


def test_selections_do_not_depend_on_the_number_of_threads() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", SELECTIONS],
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1


def test_whoever_interrupts_a_run_does_not_wait_for_an_evaluation() -> None:
    def interrupt(info: rb.RoundInfo) -> None:
        if info.round == 7:
            raise KeyboardInterrupt

    with pytest.raises(rb.InterruptedRun) as caught:
        rb.simulate(
            workload(),
            rb.TopK(k=3),
            rounds=9,
            learning_rate=0.01,
            evaluate_every=5,
            on_round=interrupt,
        )
    gap = caught.value.trace["gap"]
    assert np.flatnonzero(np.isfinite(gap)).tolist() == [4]
    assert len(gap) == 7


class Measured(rb.LogisticToy):
    """A workload whose metrics cannot be evaluated once its second parameter is beyond a limit."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.refused: list[float] = []

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        for second in parameters_TJ[:, 1].tolist():
            if second > self.limit:
                self.refused.append(second)
                raise ZeroDivisionError("nothing is\nright")
        return super().metrics(parameters_TJ)


MEASURED: dict[str, Any] = {"rounds": 300, "learning_rate": 0.1, "processes": 1}
REFUSED = "^workload Measured: metrics failed: ZeroDivisionError: nothing is right$"


@pytest.mark.parametrize("every", [1, 40])
def test_an_evaluation_that_fails_keeps_the_trace(every: int) -> None:
    options = MEASURED | {"evaluate_every": every}
    whole = rb.simulate(rb.LogisticToy(), rb.Dense(), **options)
    seconds: list[float] = []
    rb.simulate(
        rb.LogisticToy(),
        rb.Dense(),
        **options,
        on_round=lambda info: seconds.append(float(info.parameters[1])),
    )
    problem = Measured(limit=(seconds[98] + seconds[99]) / 2)  # rounds from 100 on are beyond it
    with pytest.raises(rb.RunError, match=REFUSED) as caught:
        rb.simulate(problem, rb.Dense(), **options)
    trace = caught.value.trace
    assert trace is not None
    assert trace.rounds == len(trace["loss"]) == len(trace.bytes_sent.downlink) >= 256
    known = np.isfinite(trace["loss"])
    assert np.flatnonzero(known).tolist() == [at for at in range(99) if (at + 1) % every == 0]
    assert np.array_equal(trace["loss"][known], whole["loss"][: trace.rounds][known])
    downlink = whole.bytes_sent.downlink[: trace.rounds]
    assert np.array_equal(trace.bytes_sent.downlink, downlink)
    assert set(problem.refused) == {min(problem.refused)}  # none after it was tried


def test_the_last_evaluation_keeps_the_trace_if_it_fails() -> None:
    problem = Measured(limit=0.0)
    with pytest.raises(rb.RunError, match=REFUSED) as caught:
        rb.simulate(problem, rb.Dense(), **MEASURED | {"rounds": 5, "evaluate_every": 100})
    trace = caught.value.trace
    assert trace is not None
    expected = rb.simulate(rb.LogisticToy(), rb.Dense(), **MEASURED | {"rounds": 5})
    assert np.array_equal(trace.final_parameters, expected.final_parameters)
    assert np.isnan(trace["loss"]).tolist() == [True] * 5
    assert len(problem.refused) == 1


def test_a_run_that_fails_otherwise_keeps_its_trace_whatever_its_evaluation_does() -> None:
    def stumble(info: rb.RoundInfo) -> None:
        if info.round == 7:
            raise rb.RunError("the disk is full")

    with pytest.raises(rb.RunError, match=r"^the disk is full$") as caught:
        rb.simulate(Measured(limit=0.0), rb.Dense(), **MEASURED, on_round=stumble)
    assert caught.value.trace is not None
    assert np.isnan(caught.value.trace["loss"]).tolist() == [True] * 7


def test_a_trace_knows_its_recipe() -> None:
    trace = rb.simulate(
        rb.LogisticToy(),
        rb.Dense(),
        rounds=4,
        learning_rate=1,
        momentum=0.5,
        schedule=rb.Schedule(shape="cosine", warm_up=2),
        on_round=lambda info: info.round == 3,
    )
    assert trace.rounds == 3
    assert trace.recipe == {
        "rounds": 4,
        "learning_rate": 1.0,
        "momentum": 0.5,
        "weight_decay": 0.0,
        "local_steps": 1,
        "evaluate_every": 1,
        "schedule": "cosine",
        "warm_up": 2,
    }
    assert type(trace.recipe["learning_rate"]) is float  # as in results


@pytest.mark.parametrize(
    "sparsifier",
    [rb.TopK(k=3), rb.RegTopK(k=3, mu=2.0), rb.RandomK(k=3), rb.Oracle(k=3), rb.Dense()],
    ids=lambda sparsifier: type(sparsifier).__name__,
)
@pytest.mark.parametrize("entries", [1, 70])
def test_a_few_workers_at_a_time_give_the_same_bits(
    sparsifier: rb.Sparsifier, entries: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[int] = []
    gradients = rb.LinearRegression.gradients

    def watching(self: rb.LinearRegression, theta: Tensor, workers: range, round: int) -> Tensor:
        asked.append(len(workers))
        return gradients(self, theta, workers, round)

    options: dict[str, Any] = {"rounds": 12, "learning_rate": 0.01, "processes": 1}
    whole = rb.simulate(workload(), sparsifier, **options)
    monkeypatch.setattr(rounds, "_CPU_ENTRIES", entries)
    monkeypatch.setattr(rb.LinearRegression, "gradients", watching)
    checkpoints = rb.Checkpoints(tmp_path, 5)
    stopped = rb.simulate(
        workload(),
        sparsifier,
        **options,
        checkpoints=checkpoints,
        on_round=lambda info: info.round == 7,
    )
    assert stopped.rounds == 7
    resumed = rb.simulate(workload(), sparsifier, **options, checkpoints=checkpoints)
    assert np.array_equal(whole.final_parameters, resumed.final_parameters)
    assert np.array_equal(whole.bytes_sent.downlink, resumed.bytes_sent.downlink)
    assert max(asked) == (
        max(1, entries // workload().dim) if sparsifier.splits else workload().workers
    )


def test_a_sparsifier_that_asks_its_peers_must_not_say_that_it_splits() -> None:
    """However small the problem: it would be found out in a large one only."""

    class Asking(rb.Oracle):
        splits = True

    options: dict[str, Any] = {"rounds": 1, "learning_rate": 0.01, "processes": 1}
    with pytest.raises(rb.ConfigurationError, match="must have splits = False"):
        rb.simulate(workload(), Asking(k=3), **options)


def test_peers_cannot_be_asked_in_feedback() -> None:
    """What they gather would overwrite the messages, which are not recorded by then."""

    class Late(rb.Oracle):
        def feedback(self, state: Any, aggregate_J: Tensor) -> None:
            state.placement.peers.all_gather(aggregate_J[None].expand(5, -1))

    with pytest.raises(rb.ConfigurationError, match="in compress, not in feedback"):
        rb.simulate(workload(), Late(k=3), rounds=1, learning_rate=0.01, processes=1)


def test_a_gpu_hosts_all_workers_in_one_process() -> None:
    class OnGpu(rb.LogisticToy):
        device = torch.device("cuda")

    with pytest.raises(rb.ConfigurationError, match="on cuda one process hosts all workers"):
        rb.simulate(OnGpu(), rb.TopK(k=1), rounds=1, learning_rate=0.1, processes=2)
