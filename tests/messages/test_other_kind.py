"""A kind of message that the package does not know goes wherever its own kinds go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.messages import Encoding
from regtopk_bench.sparsify import State

SHAPES = ((100_000,), (400, 500))
DIM = 300_000
WORKERS = 7
ROUNDS = 12


class EightBits(rb.Message):
    """Each entry as a whole number from -127 to 127, times a scale of the worker's own."""

    def __init__(self, levels_NJ: Tensor, scale_N: Tensor) -> None:
        self.levels_NJ, self.scale_N, self.dim = levels_NJ, scale_N, levels_NJ.shape[1]

    def rows(self) -> tuple[Tensor, ...]:
        return self.scale_N, self.levels_NJ

    def gathered(self, rows: Sequence[Tensor]) -> EightBits:
        scale_N, levels_NJ = rows
        return EightBits(levels_NJ, scale_N)

    def to_dense(self) -> Tensor:
        return self.levels_NJ * self.scale_N[:, None]

    def stated(self, encoding: Encoding) -> str:
        return "1-byte levels, a scale of 8 bytes"


@dataclass(kw_only=True)
class EightBitState(State):
    """What rounding has kept back."""

    residual_NJ: Tensor


@dataclass(frozen=True)
class EightBit(rb.Sparsifier):
    """Sends all entries in eight bits each, with error feedback."""

    splits: ClassVar[bool] = True

    def init(self, placement: rb.Placement) -> EightBitState:
        residual = torch.zeros(len(placement.workers), placement.dim, dtype=placement.dtype)
        return EightBitState(placement=placement, residual_NJ=residual)

    def compress(self, state: EightBitState, grad_NJ: Tensor) -> EightBits:
        accumulated_NJ = state.residual_NJ.add_(grad_NJ)
        scale_N = accumulated_NJ.abs().amax(dim=1) / 127.0
        levels_NJ = (accumulated_NJ / scale_N[:, None]).nan_to_num_(0.0).round_().to(torch.int8)
        message = EightBits(levels_NJ, scale_N)
        accumulated_NJ.sub_(message.to_dense())
        return message


class Bowl(rb.Workload):
    """½ ‖θ - c_n‖², with so many parameters that the gradients of few workers fit at a time."""

    workers, dim, dtype, shapes = WORKERS, DIM, torch.float64, SHAPES

    def __init__(self) -> None:
        self.weights_N = torch.arange(1.0, WORKERS + 1) / 28
        self.asked: set[range] = set()

    def initial_parameters(self, seed: int) -> Tensor:
        return torch.zeros(DIM, dtype=self.dtype)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        self.asked.add(workers)
        places = torch.linspace(0.0, 6.0, DIM, dtype=self.dtype)
        return torch.stack([parameters_J - torch.cos(places * (worker + 1)) for worker in workers])

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        return {"size": parameters_TJ.norm(dim=1).numpy()}


SPARSIFIERS = {"whole": EightBit(), "per layer": rb.PerLayer(EightBit())}


def train(sparsifier: rb.Sparsifier, workload: Bowl | None = None, **options: Any) -> rb.Trace:
    options = {"rounds": ROUNDS, "learning_rate": 0.2, "processes": 1, **options}
    return rb.simulate(workload or Bowl(), sparsifier, **options)


def assert_same(first: rb.Trace, second: rb.Trace) -> None:
    assert np.array_equal(first.final_parameters, second.final_parameters)
    assert np.array_equal(first["size"], second["size"])
    assert np.array_equal(first.bytes_sent.uplink, second.bytes_sent.uplink)
    assert np.array_equal(first.bytes_sent.downlink, second.bytes_sent.downlink)
    assert first.encoding == second.encoding


@pytest.mark.parametrize("name", SPARSIFIERS)
def test_it_gives_the_same_trace_in_loop_pool_and_resumed(name: str, tmp_path: Path) -> None:
    sparsifier, workload = SPARSIFIERS[name], Bowl()
    once = train(sparsifier, workload)
    assert len(workload.asked) > 2  # several chunks, beside the probe of a single worker
    assert_same(train(sparsifier, processes=2), once)

    checkpoints = rb.Checkpoints(tmp_path, 5)
    for processes, stop in ((1, 6), (2, 11)):
        train(
            sparsifier,
            processes=processes,
            checkpoints=checkpoints,
            on_round=lambda info, stop=stop: info.round == stop,
        )
    assert checkpoints.latest() == tmp_path / "round-00000010.npz"
    assert_same(train(sparsifier, checkpoints=checkpoints), once)


@pytest.mark.parametrize("name", SPARSIFIERS)
def test_its_own_bytes_are_recorded(name: str) -> None:
    trace = train(SPARSIFIERS[name])
    size = DIM + 8 if name == "whole" else 3 + DIM + 8 * len(SHAPES)  # the first says its size
    assert trace.bytes_sent.uplink.tolist() == [WORKERS * size] * ROUNDS
    assert trace.encoding == "1-byte levels, a scale of 8 bytes"
    assert not trace.bytes_sent.coordination.any()


def test_what_is_sent_stands_for_the_gradient() -> None:
    """Training with eight bits goes where training without loss goes."""
    exact = train(rb.Dense())
    assert train(EightBit())["size"] == pytest.approx(exact["size"], rel=1e-3)
