"""What every workload says about itself."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import regtopk_bench as rb
from regtopk_bench.workloads.base import digest, equal_weights
from regtopk_bench.workloads.images import ImageClassification, synthetic_images


class Pull(rb.Workload):
    """A workload that defines no more than it must: workers pull towards a point each."""

    workers, dim, dtype = 2, 3, torch.float64

    def __init__(self) -> None:
        self.weights_N = equal_weights(2)

    def initial_parameters(self, seed: int) -> Tensor:
        return torch.zeros(3, dtype=torch.float64)

    def gradients(self, parameters_J: Tensor, workers: range, round: int) -> Tensor:
        return torch.stack([parameters_J - worker for worker in workers])

    def metrics(self, parameters_TJ: Tensor) -> Mapping[str, NDArray[np.float64]]:
        return {"norm": parameters_TJ.norm(dim=1).numpy()}


def pull(weights: list[float]) -> Pull:
    workload = Pull()
    workload.weights_N = torch.tensor(weights, dtype=torch.float64)
    return workload


def images() -> ImageClassification:
    data = synthetic_images(side=8, train=40, test=10)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
    return ImageClassification(data, model, [np.arange(20), np.arange(20, 40)], batch=4)


WORKLOADS: dict[str, Callable[[], rb.Workload]] = {
    "of a user": Pull,
    "toy": rb.LogisticToy,
    "linear regression": lambda: rb.LinearRegression.synthetic(workers=2, samples=6, dim=4),
    "own data": lambda: rb.LinearRegression(np.ones((2, 6, 4)), np.ones((2, 6))),
    "images": images,
}


def regression(samples: int) -> rb.LinearRegression:
    return rb.LinearRegression.synthetic(workers=3, samples=samples, dim=33)


@pytest.mark.parametrize(
    "workload",
    [regression(30), regression(3), rb.LogisticToy()],
    ids=["matrices", "features", "toy"],
)
@pytest.mark.parametrize("start", [0, 1, 31])
def test_metrics_do_not_depend_on_how_many_are_evaluated_at_once(
    workload: rb.Workload, start: int
) -> None:
    thetas_TJ = torch.randn(120, workload.dim, dtype=torch.float64)
    expected = workload.metrics(thetas_TJ)
    for count in (0, 1, 2, 5, 7, 16, 32, 33, 64, 89):
        found = workload.metrics(thetas_TJ[start : start + count])
        for name, values in found.items():
            assert np.array_equal(values, expected[name][start : start + count])


@pytest.mark.parametrize("kind", WORKLOADS)
def test_shapes_account_for_every_parameter(kind: str) -> None:
    workload = WORKLOADS[kind]()
    assert sum(int(np.prod(shape)) for shape in workload.shapes) == workload.dim
    if kind != "images":
        assert workload.shapes == ((workload.dim,),)


@pytest.mark.parametrize("kind", WORKLOADS)
def test_an_identity_is_flat_json_and_outlives_training_and_pickling(kind: str) -> None:
    workload = WORKLOADS[kind]()
    before = workload.identity
    assert json.loads(json.dumps(before)) == before
    assert all(isinstance(value, str | int | float | bool) for value in before.values())
    start_J = workload.initial_parameters(0)
    workload.gradients(start_J, range(2), 0)
    workload.metrics(start_J[None] + 1.0)
    assert workload.identity == before
    assert pickle.loads(pickle.dumps(workload)).identity == before


def test_identities_tell_workloads_apart() -> None:
    seen = [json.dumps(make().identity) for make in WORKLOADS.values()]
    seen += [json.dumps(pull(weights).identity) for weights in ([0.25, 0.75], [0.75, 0.25])]
    assert len(set(seen)) == len(seen)
    assert pull([0.5, 0.5]).identity == Pull().identity


def test_a_digest_depends_on_bits_dtype_and_shape() -> None:
    values = np.arange(6.0)
    different = [
        digest(values),
        digest(values.reshape(2, 3)),
        digest(values.reshape(2, 3).T),
        digest(values.astype(np.float32)),
        digest(values[:3], values[3:]),
        digest(np.nextafter(values, 9.0)),
    ]
    assert len(set(different)) == len(different)
    assert digest(torch.from_numpy(values)) == digest(values) == digest(values.copy())
    assert len(digest(values)) == 16
