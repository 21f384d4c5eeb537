"""Algorithms and workloads from outside: what they return is checked, what they raise is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.sparsify import State

J = 2
GRAD = torch.ones(2, J, dtype=torch.float64)


@dataclass(frozen=True)
class Broken(rb.Sparsifier):
    """Sends whole gradients, except where it is broken."""

    where: str
    how: Any = None

    def _maybe(self, where: str, otherwise: Any) -> Any:
        if where != self.where:
            return otherwise
        if self.how == "by zero":
            raise ZeroDivisionError("division\nby zero")
        return self.how

    def init(self, placement: rb.Placement) -> State:
        state: State = self._maybe("init", State(placement=placement))
        return state

    def compress(self, state: State, grad_NJ: Tensor) -> rb.Message:
        message: rb.Message = self._maybe("compress", rb.DenseGradient(grad_NJ))
        return message

    def feedback(self, state: State, aggregate_J: Tensor) -> None:
        self._maybe("feedback", None)

    def state_dict(self, state: State) -> dict[str, Tensor]:
        rows: dict[str, Tensor] = self._maybe("state_dict", {})
        return rows


def train(
    sparsifier: rb.Sparsifier, workload: rb.Workload | None = None, **options: Any
) -> rb.Trace:
    options = {"rounds": 3, "learning_rate": 0.1, "processes": 1} | options
    return rb.simulate(workload or rb.LogisticToy(), sparsifier, **options)


@pytest.mark.parametrize(
    ("where", "layered"),
    [
        *((where, False) for where in ("init", "compress", "feedback", "state_dict")),
        *((where, True) for where in ("init", "compress", "feedback")),
    ],
)
def test_what_an_algorithm_raises_is_named(where: str, layered: bool, tmp_path: Path) -> None:
    broken: rb.Sparsifier = Broken(where, "by zero")
    if layered:
        broken = rb.PerLayer(broken)
    with pytest.raises(
        rb.RunError,
        match=rf"algorithm .*Broken: {where} failed: ZeroDivisionError: division by zero$",
    ) as caught:
        train(broken, checkpoints=rb.Checkpoints(tmp_path, 1))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("message", "match"),
    [
        (None, "compress returned a NoneType: expected a Message"),
        (GRAD, r"compress returned \(2, 2\) torch.float64 on cpu: expected a Message"),
        (rb.DenseGradient(GRAD[:, :1]), "about 1 entries, for gradients"),
        (rb.DenseGradient(GRAD.repeat(3, 1)), r"messages of \[6\] workers about 2 entries"),
    ],
)
def test_what_an_algorithm_sends_is_checked(message: Any, match: str) -> None:
    with pytest.raises(rb.ConfigurationError, match=match):
        train(Broken("compress", message))


class Uneven(rb.LogisticToy):
    """A workload of somebody else, with attributes and results of all sorts."""

    def __init__(self, **changed: Any) -> None:
        super().__init__()
        self._changed = changed
        for name in ("workers", "dim", "weights_N", "device", "dtype"):
            if name in changed:
                setattr(self, name, changed[name])

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        shapes: tuple[tuple[int, ...], ...] = self._changed.get("shapes", super().shapes)
        return shapes

    def initial_parameters(self, seed: int) -> Tensor:
        drawn: Tensor = self._changed.get("initial", super().initial_parameters(seed))
        return drawn

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        if self._changed.get("gradients") is KeyError:
            raise KeyError("samples")
        found: Tensor = self._changed.get(
            "gradients", super().gradients(parameters_J, workers, round)
        )
        return found

    def metrics(self, parameters_TJ: Tensor) -> Any:
        return self._changed.get("metrics", super().metrics(parameters_TJ))


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"gradients": None}, "workload Uneven: gradients: expected .* not a NoneType"),
        ({"gradients": GRAD[0]}, r"gradients: expected a plain tensor \(2, 2\) .* not \(2,\)"),
        ({"gradients": GRAD.float()}, "not .* torch.float32"),
        ({"gradients": GRAD.clone().requires_grad_()}, "requires gradients: detach it"),
        ({"metrics": None}, "workload Uneven: metrics returned None"),
        ({"metrics": {"loss": 1.0}}, 'returned 1.0 as "loss": expected an array of . numbers'),
        ({"metrics": {"loss": np.zeros((3, 2))}}, 'as "loss": expected an array'),
        ({"metrics": {"loss": ["x"] * 3}}, 'as "loss": expected an array'),
        ({"metrics": {3: np.zeros(3)}}, "expected arrays by name"),
        ({"initial": None}, "initial parameters: expected .* not a NoneType"),
        ({"initial": torch.zeros(3).double()}, r"initial parameters: .* not \(3,\)"),
        ({"initial": torch.full((2,), torch.nan).double()}, "hold NaN or infinity"),
        ({"workers": 0}, "workers of the workload 0 is not at least 1"),
        ({"dim": 0}, "there is nothing to train: dim of the workload 0"),
        ({"shapes": ((3,),)}, r"shapes \(\(3,\),\) have 3 entries, not 2"),
        ({"shapes": None}, "shapes None are not a tuple of tuples"),
        ({"device": "cpu"}, 'device "cpu" of the workload is no device'),
        ({"dtype": torch.int64}, "torch.int64"),
        ({"weights_N": torch.ones(2).double()}, "are not shares"),
        ({"weights_N": torch.full((2,), torch.nan)}, "are not shares"),
        ({"weights_N": torch.ones(3) / 3}, r"weights: expected a plain tensor \(2,\)"),
        ({"weights_N": [0.5, 0.5]}, "weights: expected a tensor"),
    ],
)
def test_what_a_workload_says_is_checked(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(rb.ConfigurationError, match=match):
        train(rb.TopK(k=1), Uneven(**changed))


def test_what_a_workload_raises_is_named() -> None:
    with pytest.raises(
        rb.RunError, match="workload Uneven: gradients failed: KeyError: 'samples'"
    ) as caught:
        train(rb.TopK(k=1), Uneven(gradients=KeyError))
    assert isinstance(caught.value.__cause__, KeyError)


def test_gradients_may_lie_in_memory_in_any_order() -> None:
    class Transposed(rb.LogisticToy):
        def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
            return super().gradients(parameters_J, workers, round).T.contiguous().T

    ours, theirs = train(rb.TopK(k=1), Transposed()), train(rb.TopK(k=1))
    assert np.array_equal(ours.final_parameters, theirs.final_parameters)
