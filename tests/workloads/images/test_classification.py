"""Gradients of workers are those of plain PyTorch on the same batches."""

from __future__ import annotations

import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regtopk_bench import ConfigurationError, Dense, RegTopK, TopK, simulate
from regtopk_bench.workloads.images import ImageClassification, ImageData, Images, build_model
from tests.workloads.images.problems import DATA, dropping, smooth, workload


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


@pytest.mark.parametrize("model", ["cnn", "resnet18", "dropping"])
def test_a_gradient_does_not_depend_on_who_shares_the_process(model: str) -> None:
    problem, alone = (workload(dropping() if model == "dropping" else model) for _ in range(2))
    alone._model.load_state_dict(problem._model.state_dict())
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


def test_a_workload_can_be_sent_to_other_processes() -> None:
    problem = workload("resnet18")
    start_J = problem.initial_parameters(0)
    expected = problem.gradients(start_J, range(1, 3), 1)
    copy = pickle.loads(pickle.dumps(problem))
    assert torch.equal(copy.gradients(start_J, range(1, 3), 1), expected)
    assert np.array_equal(copy._shares[2], problem._shares[2])


def test_dropout_is_drawn_anew_for_each_worker_and_round() -> None:
    problem = workload(dropping())
    before = torch.random.get_rng_state()
    gradients = problem.gradients(problem.initial_parameters(0), range(4), 0)
    assert torch.equal(before, torch.random.get_rng_state())
    untouched = (gradients[:, :768] == 0.0).float()  # dropped of all 8 images
    assert untouched.mean() == pytest.approx(0.9**8, abs=0.05)
    assert not torch.equal(untouched[0], untouched[1])


@pytest.mark.parametrize(
    ("model", "tolerance"), [("smooth", 1e-4), ("cnn", 0.02), ("resnet18", 0.02)]
)
def test_workers_together_compute_what_they_compute_alone(model: str, tolerance: float) -> None:
    """The way of a GPU, on the CPU."""
    problem = workload(smooth() if model == "smooth" else model)
    start_J = problem.initial_parameters(0)
    one_by_one = problem.gradients(start_J, range(4), 3)
    problem._prepare_to_train()
    together = problem._together(start_J, range(4), 3)
    difference = (together - one_by_one).norm(dim=1) / one_by_one.norm(dim=1)
    assert float(difference.max()) < tolerance


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("amp", [False, True])
def test_training_on_a_gpu_follows_that_on_the_cpu(amp: bool) -> None:
    traces = [
        simulate(
            workload(device=device, amp=amp), TopK(density=0.01), rounds=60, learning_rate=0.05
        )
        for device in ("cpu", "cuda")
    ]
    for trace in traces:
        assert trace["accuracy"][-1] > 0.9
    losses = [trace["loss"][0] for trace in traces]
    assert losses[0] == pytest.approx(losses[1], rel=0.1 if amp else 1e-3)
    assert traces[1].processes == 1


def test_bfloat16_changes_gradients_a_little() -> None:
    exact, rounded = workload(), workload(amp=True)
    start_J = exact.initial_parameters(0)
    first, second = (each.gradients(start_J, range(4), 0) for each in (exact, rounded))
    assert second.dtype == torch.float32
    assert not torch.equal(first, second)
    assert float((first - second).norm() / first.norm()) < 0.1
    assert rounded.metrics(start_J[None])["loss"][0] == pytest.approx(
        exact.metrics(start_J[None])["loss"][0], rel=0.05
    )


def test_every_run_begins_with_the_initial_parameters() -> None:
    problem = workload()
    first, second = (
        simulate(problem, TopK(density=0.1), rounds=3, learning_rate=0.05, processes=1)
        for _ in range(2)
    )
    assert np.array_equal(first["loss"], second["loss"])


def test_every_algorithm_sees_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, Tensor, Tensor]] = []
    batch = ImageClassification.batch

    def watching(self: ImageClassification, worker: int, step: int) -> tuple[Tensor, Tensor]:
        images, labels = batch(self, worker, step)
        seen.append((worker, step, images, labels))
        return images, labels

    monkeypatch.setattr(ImageClassification, "batch", watching)
    courses = []
    for sparsifier in (Dense(), TopK(density=0.01), RegTopK(density=0.01, mu=5.0)):
        problem = workload()
        simulate(problem, sparsifier, rounds=3, learning_rate=0.05, processes=1)
        courses.append((list(seen), problem.initial_parameters(0)))
        seen.clear()
    for course, start_J in courses[1:]:
        assert torch.equal(start_J, courses[0][1])
        assert len(course) == 4 * 3
        for ours, theirs in zip(course, courses[0][0], strict=True):
            assert ours[:2] == theirs[:2]
            assert torch.equal(ours[2], theirs[2])
            assert torch.equal(ours[3], theirs[3])


def test_a_pool_gives_the_same_bits() -> None:
    options: dict[str, Any] = {"rounds": 4, "learning_rate": 0.05, "evaluate_every": 2}
    one, two = (
        simulate(workload(), RegTopK(density=0.01, mu=5.0), processes=processes, **options)
        for processes in (1, 2)
    )
    assert np.array_equal(one.final_parameters, two.final_parameters)
    for name in ("accuracy", "loss"):
        assert np.array_equal(one[name], two[name], equal_nan=True)


def test_layers_that_are_frozen_keep_their_statistics() -> None:
    torch.manual_seed(0)
    network = build_model("resnet18", classes=3, side=16, freeze_backbone=True)
    assert isinstance(network.bn1, nn.BatchNorm2d)
    network.bn1.running_mean.fill_(0.25)  # type: ignore[union-attr]
    problem = workload(network)
    assert problem.dim == 512 * 3 + 3
    start_J = problem.initial_parameters(0)
    alone = problem.gradients(start_J, range(1), 0)
    problem.metrics(start_J[None])
    assert bool((network.bn1.running_mean == 0.25).all())  # type: ignore[union-attr]
    # With fixed statistics an image's features do not depend on its batch.
    network.eval()
    images, labels = problem.batch(0, 0)
    loss = cross_entropy(network(images), labels)
    (weight, bias) = torch.autograd.grad(loss, list(network.fc.parameters()))  # type: ignore[union-attr]
    assert torch.allclose(alone[0], torch.cat([weight.flatten(), bias]), atol=1e-6)


def test_weights_by_size_reach_the_aggregate() -> None:
    weights = torch.tensor([0.7, 0.1, 0.1, 0.1], dtype=torch.float64)
    problem = workload(weights=weights)
    start_J = problem.initial_parameters(0)
    grads = problem.gradients(start_J, range(4), 0)
    trace = simulate(problem, Dense(), rounds=1, learning_rate=1.0, processes=1)
    expected = start_J - weights.float() @ grads
    assert torch.allclose(torch.from_numpy(trace.final_parameters), expected, atol=1e-6)


@pytest.mark.parametrize("together", [False, True])
def test_nothing_keeps_a_workload_that_is_done_with(together: bool) -> None:
    problem = workload(smooth())
    start_J = problem.initial_parameters(0)
    if together:  # the way of a GPU
        problem._prepare_to_train()
        with torch.random.fork_rng():
            problem._together(start_J, range(4), 0)
    problem.gradients(start_J, range(4), 0)
    problem.metrics(start_J[None])
    model, alive = problem._model, weakref.ref(problem)
    del problem
    gc.collect()
    assert alive() is None
    assert model is not None  # which is the caller's, and does not lead back to the workload


def test_a_batch_does_not_depend_on_those_taken_before() -> None:
    problem = workload()
    steps = (0, 30, 5, 0, 31, 30)  # there and back over several epochs
    for step in steps:
        for worker in (2, 0):
            pixels, labels = problem.batch(worker, step)
            fresh_pixels, fresh_labels = workload().batch(worker, step)
            assert torch.equal(pixels, fresh_pixels)
            assert torch.equal(labels, fresh_labels)


@pytest.mark.parametrize(
    ("images", "side", "what"),
    [(9, 10**5, "outputs of one layer for 9 images"), (10**8, 511, "statistics of 100000000")],
)
def test_images_that_do_not_fit_are_refused_before_they_are_touched(
    images: int, side: int, what: str
) -> None:
    pixels_NCHW = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(images, 3, side, side)
    part = Images(pixels_NCHW, torch.zeros(1, dtype=torch.int64).expand(images))
    model = build_model("cnn", classes=1, side=side)
    with pytest.raises(ConfigurationError, match=f"{what} .* GiB .*: lower --image-size"):
        ImageClassification(ImageData(("any",), part, part), model, [np.arange(9)], batch=1)
