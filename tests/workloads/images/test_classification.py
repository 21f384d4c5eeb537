"""Gradients of workers are those of plain PyTorch on the same batches."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from regtopk_bench import Dense, TopK, simulate
from regtopk_bench.workloads.images import (
    ImageClassification,
    ImageData,
    Images,
    build_model,
    partition,
)


def images(count: int, seed: int) -> Images:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=generator)
    pixels = torch.randint(0, 100, (count, 3, 16, 16), generator=generator)
    pixels[torch.arange(count), labels] += 100  # the label shows as a colour
    return Images(pixels.to(torch.uint8), labels)


DATA = ImageData(("red", "green", "blue"), images(200, 0), images(50, 1))


def workload(
    model: str = "cnn", workers: int = 4, augment: bool = True, side: int = 16
) -> ImageClassification:
    torch.manual_seed(0)
    network = build_model(model, classes=3, side=side)
    labels = DATA.train.labels_N.numpy()
    shares = partition(labels, workers, "iid", batch=8, seed=0)
    return ImageClassification(DATA, network, shares, batch=8, seed=5, augment=augment)


def test_the_mean_of_the_workers_gradients_is_that_of_the_whole_batch() -> None:
    problem = workload()
    start_J = problem.initial_parameters(0)
    mean_J = problem.gradients(start_J, range(4), 3).mean(dim=0)
    batches = [problem.batch(worker, 3) for worker in range(4)]
    torch.manual_seed(0)
    network = build_model("cnn", classes=3, side=16)
    loss = cross_entropy(
        network(torch.cat([pixels for pixels, _ in batches])),
        torch.cat([labels for _, labels in batches]),
    )
    grads = torch.autograd.grad(loss, list(network.parameters()))
    whole_J = torch.cat([grad.flatten() for grad in grads])
    assert torch.allclose(mean_J, whole_J, rtol=1e-4, atol=1e-6)


def test_dense_training_is_sgd_on_the_same_batches() -> None:
    problem = workload()
    after: list[Tensor] = []
    simulate(
        problem,
        Dense(),
        rounds=6,
        learning_rate=0.05,
        processes=1,
        on_round=lambda info: after.append(info.parameters.clone()),
    )
    torch.manual_seed(0)
    network = build_model("cnn", classes=3, side=16)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for round in range(6):
        optimizer.zero_grad()
        for worker in range(4):
            pixels, labels = problem.batch(worker, round)
            (cross_entropy(network(pixels), labels) / 4).backward()
        optimizer.step()
    expected_J = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    assert torch.allclose(after[-1], expected_J, rtol=1e-4, atol=1e-6)


def test_training_learns_colours() -> None:
    trace = simulate(workload(), TopK(density=0.01), rounds=60, learning_rate=0.05, processes=1)
    assert trace["accuracy"][-1] > 0.9
    assert trace["loss"][-1] < trace["loss"][0]


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_a_gradient_does_not_depend_on_who_shares_the_process(model: str) -> None:
    problem, alone = workload(model), workload(model)
    start_J = problem.initial_parameters(0)
    with torch.random.fork_rng():
        together = problem.gradients(start_J, range(4), 2)
        for worker in (3, 1):
            own = alone.gradients(start_J, range(worker, worker + 1), 2)
            assert torch.equal(own[0], together[worker])


def test_metrics_do_not_depend_on_what_was_trained_before() -> None:
    problem, fresh = workload("resnet18"), workload("resnet18")
    start_J = problem.initial_parameters(0)
    problem.gradients(start_J, range(4), 0)
    first, second = problem.metrics(start_J[None]), fresh.metrics(start_J[None])
    assert first["accuracy"] == second["accuracy"]
    assert first["loss"] == second["loss"]


def test_an_epoch_visits_every_image_once() -> None:
    problem = workload(augment=False)
    share, batches = problem._shares[1], len(problem._shares[1]) // 8
    expected = DATA.train.pixels_NCHW[torch.from_numpy(share)].float().mean(dim=(1, 2, 3))
    for epoch in range(2):
        seen = [
            problem.batch(1, epoch * batches + number)[0].mul(problem._scale_C11)
            for number in range(batches)
        ]
        means = torch.cat([each + problem._mean_C11 for each in seen]).mean(dim=(1, 2, 3))
        unseen = set(expected.mul(100).round().tolist()) - set(means.mul(100).round().tolist())
        assert len(unseen) <= len(share) - 8 * batches


def test_augmentation_shifts_and_mirrors() -> None:
    plain, changed = workload(augment=False), workload()
    before, after = plain.batch(0, 0)[0], changed.batch(0, 0)[0]
    assert before.shape == after.shape
    assert not torch.equal(before, after)
    assert torch.equal(after, workload().batch(0, 0)[0])


def test_a_workload_can_be_sent_to_other_processes() -> None:
    problem = workload("resnet18")
    start_J = problem.initial_parameters(0)
    expected = problem.gradients(start_J, range(1, 3), 1)
    copy = pickle.loads(pickle.dumps(problem))
    assert torch.equal(copy.gradients(start_J, range(1, 3), 1), expected)
    assert np.array_equal(copy._shares[2], problem._shares[2])
