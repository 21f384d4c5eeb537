"""Whatever goes wrong in one rank ends the iteration in all of them, with the same line."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.algorithms.join import Join

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, compress_gradients
from regtopk_bench.sparsify import ErrorFeedback
from tests.distributed import training
from tests.distributed.ranks import Ranks


@dataclass(kw_only=True)
class Calls(ErrorFeedback):
    calls: int = 0


@dataclass(frozen=True, kw_only=True)
class Failing(rb.TopK):
    """Fails in rank 1, in the third iteration."""

    splits: ClassVar[bool] = False
    State: ClassVar[type[ErrorFeedback]] = Calls

    when: str
    asks: bool

    def compress(self, state: Any, grad_NJ: Tensor) -> Any:
        state.calls += 1
        self.perhaps("before asking", state)
        if self.asks:
            state.placement.peers.all_gather(torch.ones(1, state.calls))
        self.perhaps("after asking", state)
        message = super().compress(state, grad_NJ)
        message.dim += self.when == "message" and dist.get_rank() == 1 and state.calls == 3
        return message

    def feedback(self, state: Any, aggregate_J: Tensor) -> None:
        self.perhaps("feedback", state)

    def perhaps(self, when: str, state: Any) -> None:
        if self.when == when and dist.get_rank() == 1 and state.calls == 3:
            raise KeyError("on\ntwo lines")


def until_it_fails(
    sparsifier: rb.Sparsifier, scope: str = "bucket", nan_at: int | None = None, ddp: bool = True
) -> tuple[int, str, str]:
    """Train for six iterations; return how many were finished, and kind and text of the failure."""
    model = training.network()
    state = SparseState(sparsifier, scope=scope)
    wrapped = training.wrapped(model, state) if ddp else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for iteration in range(6):
        optimizer.zero_grad()
        bad = iteration == nan_at and dist.get_rank() == 1
        try:
            (training.loss_of(wrapped, iteration) * (float("nan") if bad else 1.0)).backward()
            if not ddp:
                compress_gradients(model, state)
        except Exception as error:
            return iteration, type(error).__name__, str(error)
        optimizer.step()
    return 6, "", ""


@pytest.mark.parametrize("scope", ["bucket", "global"])
@pytest.mark.parametrize("ddp", [True, False])
def test_a_gradient_that_is_not_finite(ddp: bool, scope: str, four: Ranks) -> None:
    for sparsifier in rb.TopK(density=0.1), rb.Oracle(density=0.1):
        for iteration, kind, text in four.run(until_it_fails, sparsifier, scope, 3, ddp):
            assert (iteration, kind) == (3, "NonFiniteGradientError")
            assert text.startswith("non-finite gradient at worker 1 in round 4 (")


@pytest.mark.parametrize("asks", [True, False])
def test_a_sparsifier_that_fails(asks: bool, four: Ranks) -> None:
    ours = "algorithm tests.distributed.test_failures.Failing: "
    found = {
        when: set(four.run(until_it_fails, Failing(density=0.1, when=when, asks=asks)))
        for when in ("before asking", "after asking", "message", "feedback")
    }
    failed = {(2, "RunError", f"{ours}compress failed: KeyError: 'on\\ntwo lines'")}
    assert found["before asking"] == found["after asking"] == failed
    ((iteration, kind, text),) = found["message"]
    assert (iteration, kind) == (2, "ConfigurationError")
    assert text.startswith(f"{ours}compress returned messages of [1] workers about 1355 entries")
    # By then the aggregate is known: it is the next iteration that is not finished.
    assert found["feedback"] == {
        (3, "RunError", f"{ours}feedback failed: KeyError: 'on\\ntwo lines'")
    }


def test_a_sparsifier_that_does_not_suit_the_gradient(two: Ranks) -> None:
    said = "k 2000 exceeds the 1874 entries of the gradient"
    for ddp in True, False:
        for answer in two.run(until_it_fails, rb.TopK(k=2000), "bucket", None, ddp):
            assert answer == (0, "ConfigurationError", said)


def failed_and_restored() -> tuple[Tensor, Tensor]:
    """Train on, without a failure and after one: the parameters of both."""
    found = []
    for fails in (False, True):
        model = training.network()
        state = SparseState(rb.RegTopK(density=0.1))
        ddp = training.wrapped(model, state)
        training.train(ddp, range(4))
        saved = copy.deepcopy(state.state_dict())
        if fails:
            for _ in range(2):
                bad = float("inf") if dist.get_rank() == 1 else 1.0
                with pytest.raises(rb.NonFiniteGradientError):
                    (bad * training.loss_of(ddp, 4)).backward()
            with pytest.raises(rb.NonFiniteGradientError):
                state.state_dict()
            state.load_state_dict(saved)
        training.train(ddp, range(4, 8))
        found.append(training.flat(model))
    return found[0], found[1]


def test_after_a_failure_a_saved_state_goes_on(two: Ranks) -> None:
    for once, again in two.run(failed_and_restored):
        assert torch.equal(once, again)


def differing(what: str) -> str:
    model = training.network()
    state = SparseState(
        rb.TopK(density=0.1 if what != "density" else 0.1 * (1 + dist.get_rank())),
        seed=dist.get_rank() if what == "seed" else 0,
    )
    ddp = training.wrapped(model, state)
    try:
        training.train(ddp, range(3))
        if what == "new":
            saved, state = state.state_dict(), SparseState(rb.TopK(density=0.1))
            ddp = training.wrapped(model, state)
            if dist.get_rank() == 0:
                state.load_state_dict(saved)
        training.train(ddp, range(3, 6))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("what", ["density", "new", "seed"])
def test_ranks_that_differ_say_so(what: str, two: Ranks) -> None:
    for said in two.run(differing, what):
        assert said.startswith(
            "RunError: rank 1 compresses other gradients than rank 0, in another way or in another"
        )


def failing_with(case: str) -> str:
    """Train where a gradient of rank 1 is not finite; return what is raised."""
    model = training.network()
    ddp = training.wrapped(model, SparseState(rb.TopK(density=0.1)), static_graph=case == "static")
    joined = case == "join" and dist.get_rank() == 0
    try:
        with Join([ddp]) if case == "join" else contextlib.nullcontext():
            for iteration in range(0 if joined else 3):
                bad = dist.get_rank() == 1 and iteration == (0 if case == "static" else 2)
                (training.loss_of(ddp, iteration) * (float("nan") if bad else 1.0)).backward()
    except rb.NonFiniteGradientError as error:
        return str(error).partition(" (")[0]
    return ""


def test_a_failure_reaches_ranks_without_data_and_delayed_hooks(two: Ranks) -> None:
    said = "non-finite gradient at worker 1 in round {}"
    assert two.run(failing_with, "static") == [said.format(1)] * 2
    assert two.run(failing_with, "join") == [said.format(3)] * 2


def with_sparse_gradients() -> str:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(30, 4, sparse=True), torch.nn.Linear(4, 1))
    ddp = training.wrapped(model, SparseState(rb.TopK(density=0.1)))
    try:
        ddp(torch.arange(6)).sum().backward()
    except rb.ConfigurationError as error:
        return str(error)
    return ""


def test_gradients_that_are_sparse_tensors(two: Ranks) -> None:
    for said in two.run(with_sparse_gradients):
        assert said == (
            "a gradient is a sparse tensor, as of an embedding with sparse=True: it cannot be "
            "compressed; leave out sparse=True"
        )
