"""A user's own network trains as PyTorch alone would train it, whoever hosts its workers."""

from __future__ import annotations

import copy
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import Dataset, IterableDataset, TensorDataset, random_split

import regtopk_bench as rb
from tests.workloads.networks import SIZES, Noisy, everyone, lively, network, points, workload


def flat(tensors: Any) -> Tensor:
    return torch.cat([each.detach().flatten() for each in tensors])


def test_a_gradient_is_that_of_plain_autograd() -> None:
    problem, model = workload(), network()
    gradients = problem.gradients(problem.initial_parameters(0), range(3), 4)
    for worker in range(3):
        x, y = problem.batch(worker, 4)
        assert x.shape == (5, 6)
        loss = cross_entropy(model(x), y)
        assert torch.equal(gradients[worker], flat(torch.autograd.grad(loss, model.parameters())))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dense_training_is_that_of_torch_optim(dtype: torch.dtype) -> None:
    problem, model = workload(network().to(dtype), weights=SIZES), network().to(dtype)
    options = {"momentum": 0.9, "weight_decay": 0.01}
    trace = rb.simulate(problem, rb.Dense(), rounds=30, learning_rate=0.1, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **options)
    for round in range(30):
        optimizer.zero_grad()
        for worker, size in enumerate(SIZES):
            x, y = problem.batch(worker, round)
            (size / sum(SIZES) * cross_entropy(model(x), y)).backward()
        optimizer.step()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert trace.final_parameters.dtype == flat(model.parameters()).numpy().dtype
    assert np.allclose(trace.final_parameters, flat(model.parameters()), rtol=0.0, atol=tolerance)


def test_a_network_learns() -> None:
    for sparsifier in (rb.Dense(), rb.TopK(density=0.1)):
        trace = rb.simulate(workload(), sparsifier, rounds=300, learning_rate=0.2, processes=1)
        assert trace["accuracy"][-1] > 0.85
        assert trace["loss"][-1] < 0.5 * trace["loss"][0]


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_give_the_bits_of_one(processes: int) -> None:
    one, several = (
        rb.simulate(
            lively(),
            rb.RegTopK(density=0.2),
            rounds=12,
            learning_rate=0.1,
            evaluate_every=4,
            processes=count,
        )
        for count in (1, processes)
    )
    assert several.processes == processes
    assert np.array_equal(one.final_parameters, several.final_parameters)
    for name in ("loss", "accuracy"):
        assert np.array_equal(one[name], several[name], equal_nan=True)


def test_batches_follow_from_seed_worker_and_round() -> None:
    problem = lively()
    expected = {(worker, step): problem.batch(worker, step) for worker, step in [(0, 0), (2, 9)]}
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    for step in (30, 0, 9, 31):
        for worker in (2, 0, 1):
            x, y = problem.batch(worker, step)
            if (worker, step) in expected:
                assert torch.equal(x, expected[worker, step][0])
                assert torch.equal(y, expected[worker, step][1])
    problem.gradients(problem.initial_parameters(0), range(3), 1)
    problem.metrics(problem.initial_parameters(0)[None])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]
    assert not torch.equal(problem.batch(0, 0)[0], workload(seed=6).batch(0, 0)[0])


def test_an_epoch_visits_every_sample_once() -> None:
    problem = workload(batch=5)
    x, _ = everyone()[1]
    for epoch in range(3):
        seen = torch.cat([problem.batch(1, 5 * epoch + step)[0] for step in range(5)])
        assert torch.equal(seen.sort(dim=0).values, x.sort(dim=0).values)


def test_what_dropout_drops_does_not_depend_on_who_shares_the_process() -> None:
    problem = workload(network(nn.Dropout(0.5)))
    start_J = problem.initial_parameters(0)
    together = problem.gradients(start_J, range(3), 2)
    for worker in (2, 0, 1):
        assert torch.equal(
            problem.gradients(start_J, range(worker, worker + 1), 2)[0], together[worker]
        )
    assert not torch.equal(together, problem.gradients(start_J, range(3), 3))


@pytest.mark.parametrize("kind", ["arrays", "TensorDataset", "Subset", "list"])
def test_samples_are_the_same_in_every_form(kind: str) -> None:
    forms: dict[str, Any] = {
        "arrays": [(x.double().numpy(), y.numpy()) for x, y in everyone()],
        "TensorDataset": [TensorDataset(x, y) for x, y in everyone()],
        "Subset": [
            torch.utils.data.Subset(TensorDataset(x, y), range(len(x))) for x, y in everyone()
        ],
        "list": [list(pair) for pair in everyone()],
    }
    expected, problem = workload(), workload(datasets=forms[kind])
    start_J = expected.initial_parameters(0)
    assert torch.equal(
        problem.gradients(start_J, range(3), 7), expected.gradients(start_J, range(3), 7)
    )


def test_a_data_set_can_be_divided_by_pytorch() -> None:
    parts = random_split(TensorDataset(*points(90, 1)), [40, 30, 20])
    trace = rb.simulate(workload(datasets=parts), rb.TopK(k=5), rounds=5, learning_rate=0.1)
    assert trace.workers == 3


def test_metrics_are_means_over_all_test_samples() -> None:
    test = points(613, 4)  # several batches, the last not full
    problem, model = workload(test=test), network().eval()
    metrics = problem.metrics(problem.initial_parameters(0)[None])
    assert metrics["loss"][0] == pytest.approx(cross_entropy(model(test[0]), test[1]).item())
    right = (model(test[0]).argmax(dim=1) == test[1]).double().mean()
    assert metrics["accuracy"][0] == pytest.approx(right.item())
    several_TJ = torch.stack([problem.initial_parameters(0), torch.zeros(problem.dim)])
    assert problem.metrics(several_TJ)["loss"][0] == metrics["loss"][0]
    assert problem.metrics(several_TJ)["loss"][1] == pytest.approx(np.log(3.0))


def test_without_test_data_the_objective_is_evaluated() -> None:
    problem, model = workload(test=None, weights=[1, 2, 1]), network().eval()
    losses = [cross_entropy(model(x), y).item() for x, y in everyone()]
    (found,) = problem.metrics(problem.initial_parameters(0)[None])["loss"]
    assert found == pytest.approx((losses[0] + 2 * losses[1] + losses[2]) / 4)


def test_metrics_do_not_depend_on_what_was_trained_before() -> None:
    problem, fresh = lively(), lively()
    start_J = problem.initial_parameters(0)
    problem.gradients(start_J + 1.0, range(3), 0)
    problem.metrics(start_J[None] + 1.0)
    for name, values in problem.metrics(start_J[None]).items():
        assert values == fresh.metrics(start_J[None])[name]


def test_batch_normalisation_measures_statistics_and_frozen_layers_keep_theirs() -> None:
    model = network(nn.BatchNorm1d(8))
    problem = workload(model)
    made = problem.network(problem.initial_parameters(0))
    inner = model[:2](torch.cat([x for x, _ in everyone()]))
    assert isinstance(made[2], nn.BatchNorm1d)  # type: ignore[index]
    mean_8, var_8 = made[2].running_mean, made[2].running_var  # type: ignore[index]
    assert torch.allclose(mean_8, inner.mean(dim=0), atol=1e-5)
    assert torch.allclose(var_8, inner.var(dim=0), rtol=1e-4)
    for parameter in model[2].parameters():
        parameter.requires_grad_(False)
    model[2].running_mean.fill_(0.25)  # type: ignore[union-attr, operator]
    frozen = workload(model)
    assert frozen.dim == problem.dim - 16
    kept = frozen.network(frozen.initial_parameters(0))[2]  # type: ignore[index]
    assert kept.running_mean.tolist() == [0.25] * 8
    assert kept.track_running_stats


def test_the_callers_model_is_left_alone() -> None:
    model = network(nn.BatchNorm1d(8))
    before = copy.deepcopy(model.state_dict())
    problem = workload(model)
    trace = rb.simulate(problem, rb.TopK(k=9), rounds=4, learning_rate=0.1, processes=1)
    assert model[2].track_running_stats
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    made = problem.network(trace.final_parameters)
    assert not made.training
    assert np.array_equal(flat(made.parameters()), trace.final_parameters)
    x, y = points(60, 9)
    assert cross_entropy(made(x), y).item() == pytest.approx(trace["loss"][-1])
    with pytest.raises(rb.ConfigurationError, match="3 parameters for a model of"):
        problem.network([1.0, 2.0, 3.0])


def test_parameters_that_are_unused_or_shared_are_trained_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
            self.second.weight = self.first.weight
            self.unused = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).tanh())

    torch.manual_seed(0)
    model = Tied()
    problem = workload(model)
    assert problem.dim == 36 + 6 + 6 + 6
    (gradient_J,) = problem.gradients(problem.initial_parameters(0), range(1), 0)
    x, y = problem.batch(0, 0)
    used = [model.first.weight, model.first.bias, model.second.bias]
    grads = torch.autograd.grad(cross_entropy(model(x), y), used)
    assert torch.equal(gradient_J[:48], flat(grads))
    assert not gradient_J[48:].any()


def test_a_run_resumes_to_the_same_bits_and_another_problem_is_refused(tmp_path: Path) -> None:
    def train(problem: rb.ModelWorkload, stop: int = 0) -> rb.Trace:
        return rb.simulate(
            problem,
            rb.RegTopK(density=0.2),
            rounds=20,
            learning_rate=0.1,
            checkpoints=rb.Checkpoints(tmp_path / "checkpoints", every=5),
            on_round=lambda info: info.round == stop,
            processes=1,
        )

    whole = train(lively())
    rb.Checkpoints(tmp_path / "checkpoints", every=5).remove()
    train(lively(), stop=12)
    noisy = [Noisy(size, worker) for worker, size in enumerate(SIZES)]
    others = [
        workload(network(nn.BatchNorm1d(8), nn.Dropout(0.3))),
        workload(network(nn.BatchNorm1d(8), nn.Dropout(0.4)), noisy),
    ]
    for other in others:
        with pytest.raises(rb.ConfigurationError, match="of another configuration"):
            train(other)
    resumed = train(lively())
    assert np.array_equal(resumed.final_parameters, whole.final_parameters)
    assert np.array_equal(resumed["loss"], whole["loss"])


def test_identities_tell_problems_apart() -> None:
    noisy = [Noisy(size, worker) for worker, size in enumerate(SIZES)]
    problems = [
        workload(),
        workload(batch=6),
        workload(seed=6),
        workload(metrics={}),
        workload(test=points(60, 8)),
        workload(weights=SIZES),
        workload(datasets=[points(size, 7) for size in SIZES]),
        workload(datasets=noisy),
        workload(datasets=[noisy[0], noisy[2], noisy[1]]),
        workload(network(nn.Dropout(0.1))),
        rb.ModelWorkload(network(), nn.CrossEntropyLoss(), everyone(), batch=5),
    ]
    identities = [str(problem.identity) for problem in problems]
    assert len(set(identities)) == len(problems)
    assert identities[0] == str(workload().identity)
    assert " at 0x" not in "".join(identities)


def test_only_a_workers_own_samples_are_sent() -> None:
    x, y = points(200_000, 0)
    shares = [(x[start : start + 50], y[start : start + 50]) for start in (0, 1000, 90_000)]
    problem = workload(datasets=shares)
    sent = pickle.dumps(problem)
    assert len(sent) < 50_000
    start_J = problem.initial_parameters(0)
    assert torch.equal(
        pickle.loads(sent).gradients(start_J, range(3), 2), problem.gradients(start_J, range(3), 2)
    )


def test_layers_are_the_models_tensors() -> None:
    assert workload().shapes == ((8, 6), (8,), (3, 8), (3,))
    trace = rb.simulate(
        workload(), rb.PerLayer(rb.TopK(k=1)), rounds=1, learning_rate=0.1, processes=1
    )
    assert trace.bytes_sent.uplink.tolist() == [3 * 4 * (4 + 4)]


class Failing(Noisy):
    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        if position == 17:
            raise OSError("the disk\nis gone")
        return super().__getitem__(position)


def test_what_a_data_set_raises_is_named_and_the_trace_kept() -> None:
    problem = workload(datasets=[points(40, 0), Failing(40, 1)])
    with pytest.raises(
        rb.RunError, match=r"^the data of worker 1 failed: OSError: the disk is gone$"
    ) as caught:
        rb.simulate(problem, rb.Dense(), rounds=50, learning_rate=0.1, processes=1)
    assert caught.value.trace is not None
    assert caught.value.trace.rounds < 8


def test_a_network_that_diverges_names_worker_and_round() -> None:
    problem = rb.ModelWorkload(
        nn.Linear(6, 1), mse_loss, [(torch.ones(9, 6), torch.ones(9, 1))], batch=9
    )
    with pytest.raises(rb.NonFiniteGradientError, match="at worker 0 in round"):
        rb.simulate(problem, rb.Dense(), rounds=400, learning_rate=1e6)


class Counting(Dataset[tuple[Tensor, int]]):
    """Items that differ whenever they are read."""

    reads = 0

    def __len__(self) -> int:
        return 9

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        Counting.reads += 1
        return torch.full((6,), float(Counting.reads)), 0


class Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(dim=0)
        return x - self.mean


class Stream(IterableDataset[tuple[Tensor, int]]):
    def __iter__(self) -> Any:
        return iter([])


class Triples(Dataset[tuple[int, int, int]]):
    def __len__(self) -> int:
        return 9

    def __getitem__(self, position: int) -> tuple[int, int, int]:
        return (1, 2, 3)


class Weighted(nn.Module):
    """A loss with a temperature to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs / self.temperature, targets)


def test_a_loss_whose_parameters_are_frozen_may_have_some() -> None:
    loss = Weighted().requires_grad_(False)
    frozen = rb.ModelWorkload(network(), loss, everyone(), batch=5)
    plain = rb.ModelWorkload(network(), cross_entropy, everyone(), batch=5)
    start_J = plain.initial_parameters(0)
    assert torch.equal(
        frozen.gradients(start_J, range(3), 0), plain.gradients(start_J, range(3), 0)
    )


def test_accuracy_is_the_share_of_targets_with_the_largest_score() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    targets = torch.tensor([1, 1, 1])
    for dtype in (torch.int64, torch.uint8):
        assert rb.accuracy(scores, targets.to(dtype)) == pytest.approx(2 / 3)
    images = torch.stack([scores, scores], dim=2)[..., None]  # (B, classes, H, W) of each pixel
    assert rb.accuracy(images, torch.tensor([[[1], [0]]] * 3)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (torch.rand(4, 3), torch.zeros(4, 1, dtype=torch.int64)),
        (torch.rand(4, 3), torch.zeros(1, dtype=torch.int64)),
        (torch.rand(4, 1), torch.zeros(4, dtype=torch.int64)),
        (torch.rand(4), torch.zeros(4, dtype=torch.int64)),
        (torch.rand(4, 3), torch.zeros(4)),
        (torch.rand(4, 3), torch.zeros(4, 3, dtype=torch.int64)),
        (torch.rand(4, 2), torch.zeros(4, dtype=torch.bool)),
        (torch.rand(4, 3, 5), torch.zeros(4, dtype=torch.int64)),
    ],
)
def test_accuracy_of_anything_but_scores_and_classes_is_refused(
    outputs: Tensor, targets: Tensor
) -> None:
    with pytest.raises(rb.ConfigurationError, match=r"accuracy needs scores \(B, classes, …\) of"):
        rb.accuracy(outputs, targets)


def test_a_metric_that_fails_in_the_end_keeps_what_was_trained() -> None:
    options: dict[str, Any] = {"rounds": 200, "learning_rate": 0.2, "processes": 1}
    whole = rb.simulate(workload(), rb.Dense(), **options)
    limit = whole["loss"][70]  # rounds 20, 40 and 60 are evaluated before

    def picky(outputs: Tensor, targets: Tensor) -> Tensor:
        if cross_entropy(outputs, targets) < limit:
            raise ValueError("too good")
        return targets.double().mean()

    problem = workload(metrics={"picky": picky})
    with pytest.raises(
        rb.RunError, match=r'^metric "picky" failed: ValueError: too good$'
    ) as caught:
        rb.simulate(problem, rb.Dense(), **options, evaluate_every=20)
    trace = caught.value.trace
    assert trace is not None
    assert np.array_equal(trace.final_parameters, whole.final_parameters)
    (evaluated,) = np.isfinite(trace["loss"]).nonzero()
    assert evaluated.tolist() == [19, 39, 59]
    assert np.array_equal(trace["loss"][evaluated], whole["loss"][evaluated])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "resnet18"}, 'expected a torch.nn.Module, not "resnet18"'),
        ({"model": nn.Tanh()}, "no parameter that requires a gradient"),
        ({"model": network().half()}, "parameter 0.weight is torch.float16: expected float32 or"),
        ({"model": nn.Sequential(nn.LazyLinear(3))}, "0.weight has no shape yet: call the model"),
        ({"model": nn.Linear(5, 3)}, "on the first batch of worker 0, the model or its loss fail"),
        ({"model": network(Remembering())}, "the model changes its buffer 2.mean while it comp"),
        ({"model": network(nn.utils.spectral_norm(nn.Linear(8, 8)))}, "its buffer 2.weight_"),
        ({"loss": "cross_entropy"}, 'loss "cross_entropy" is not a function of two tensors'),
        ({"loss": nn.CrossEntropyLoss}, "is not a function of two tensors"),
        (
            {"loss": nn.CrossEntropyLoss(reduction="none")},
            r"loss of a batch is \(5,\): expected on",
        ),
        ({"loss": lambda x, y: 1.0}, "the loss of a batch is float: expected one number"),
        ({"datasets": []}, "datasets are not a list"),
        ({"datasets": torch.ones(3, 3)}, "datasets are not a list"),
        ({"datasets": [points(9, 0), 7]}, "the data of worker 1 are of kind int: expected a pair"),
        ({"datasets": [Stream()]}, "of kind Stream: expected a pair"),
        ({"datasets": [Triples()]}, "data of worker 0: an item is not a pair"),
        ({"datasets": [Counting()]}, "is another when computed again"),
        ({"datasets": [(torch.ones(9, 6), torch.ones(8))]}, "are 9 inputs, 8 targets"),
        ({"datasets": [(torch.ones(9, 6), torch.tensor(1))]}, "are single numbers"),
        ({"datasets": [(torch.ones(9, 6), "nine")]}, "cannot be read as tensors"),
        ({"datasets": [points(9, 0), points(4, 0)]}, "worker 1 has 4 samples, fewer than a batch"),
        ({"batch": 0}, "batch 0 is not at least 1"),
        ({"batch": 2.5}, "batch 2.5 is not a whole number"),
        ({"test": (torch.ones(0, 6), torch.ones(0))}, "the test data are empty"),
        ({"metrics": {"rounds": rb.accuracy}}, 'no metric can be named "rounds"'),
        ({"metrics": {"accuracy": "yes"}}, 'accuracy "yes" is not a function'),
        ({"metrics": [rb.accuracy]}, "are not functions by name"),
        (
            {"metrics": {"odd": lambda x, y: x @ y}, "test": points(60, 9)},
            '^on the first batch of the test data, metric "odd" failed: RuntimeError: ',
        ),
        (
            {"metrics": {"accuracy": rb.accuracy, "f1": lambda x, y: x}},
            '^on the first batch of worker 0, metric "f1" failed: (Value|Runtime)Error: ',
        ),
        ({"test": (torch.ones(9, 5), torch.ones(9))}, "of the test data, the model failed: Runt"),
        ({"test": (torch.ones(9, 6), torch.ones(9) > 0)}, "of the test data, the loss failed: Ru"),
        (
            {
                "loss": lambda x, y: x.mean(),
                "model": nn.Linear(6, 1),
                "metrics": {"hit": rb.accuracy},
            },
            r"^accuracy needs scores .* not \(40, 1\) and \(40,\) of torch.int64$",
        ),
        ({"loss": Weighted()}, "the loss Weighted has parameters, which would not be trained: ma"),
        ({"weights": [1.0, 2.0]}, "2 weights for 3 workers"),
        ({"weights": [1.0, 2.0, -1.0]}, "weights are not all finite and above 0"),
        ({"seed": -1}, "seed -1 is not at least 0"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "model": network(),
        "loss": cross_entropy,
        "datasets": everyone(),
        "batch": 5,
    }
    with pytest.raises(rb.ConfigurationError, match=message) as caught:
        rb.ModelWorkload(**usual | change)
    assert "\n" not in str(caught.value)
