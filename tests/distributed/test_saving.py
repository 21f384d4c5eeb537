"""Saved states: the same course to the bit, other buckets, and other numbers of ranks."""

from __future__ import annotations

import io
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributed as dist

import regtopk_bench as rb
from regtopk_bench.distributed import SparseState, compress_gradients
from regtopk_bench.distributed.resharding import share_of
from tests.distributed import training
from tests.distributed.ranks import Ranks


def through_a_file(content: Any) -> Any:
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def courses(settings: dict[str, Any], named: bool, options: dict[str, Any]) -> tuple[Tensor, ...]:
    """Train 12 iterations in one go, and with a new start after 5: the parameters of both."""
    found = []
    for stops in ([12], [5, 12]):
        start, checkpoint = 0, None
        for stop in stops:
            model = training.network()
            state = SparseState(**settings, model=model if named else None)
            ddp = training.wrapped(model, state, **options)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            if checkpoint:
                model.load_state_dict(checkpoint["model"])
                optimizer.load_state_dict(checkpoint["optimizer"])
                state.load_state_dict(checkpoint["compression"])
            training.train(ddp, range(start, stop), optimizer=optimizer)
            checkpoint = through_a_file(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "compression": state.state_dict(),
                }
            )
            start = stop
        assert state.iteration == state.statistics.iterations == 12
        found.append(training.flat(model))
        found.append(torch.tensor(state.statistics.bytes_after))
    return tuple(found)


@pytest.mark.parametrize("scope", ["bucket", "global"])
def test_a_run_that_goes_on_takes_the_same_course(scope: str, two: Ranks) -> None:
    for name, sparsifier in training.SPARSIFIERS.items():
        settings = {"sparsifier": sparsifier, "scope": scope}
        options = {"find_unused_parameters": name == "randomk"}  # then buckets stay as they are
        for named in (False, True):
            for once, sent, again, sent_again in two.run(courses, settings, named, options):
                assert torch.equal(once, again), (name, named)
                assert sent == sent_again
    settings = {"sparsifier": rb.RegTopK(k=3), "warm_up": ((0.5, 3), (0.2, 4)), "scope": scope}
    for once, _, again, _ in two.run(courses, settings, True, {}):
        assert torch.equal(once, again)


def saved_after_six(settings: dict[str, Any]) -> tuple[dict[str, Any], Tensor]:
    """Return what a rank saves, and its residual, (J,)."""
    model = training.network()
    state = SparseState(**settings, model=model)
    training.train(training.wrapped(model, state), range(6))
    return through_a_file(state.state_dict()), training.residuals(state, model)


def laid_out_anew(settings: dict[str, Any], saved: Any, ddp: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Go on with another layout for one iteration.

    Returns:
        What this rank owed before, by what it had, kept and got: its residual and gradient, its new
        residual, and the aggregate.
    """
    model = training.network()
    state = SparseState(**settings, model=model)
    state.load_state_dict(saved)
    own = training.network()
    training.loss_of(own, 6).backward()
    if ddp:
        wrapped = training.wrapped(model, state, find_unused_parameters=True, bucket_cap_mb=0.0025)
        training.loss_of(wrapped, 6).backward()
    else:
        training.loss_of(model, 6).backward()
        compress_gradients(model, state)
    return (
        training.flat_gradient(own),
        training.residuals(state, model),
        training.flat_gradient(model),
    )


@pytest.mark.parametrize("name", ["topk", "regtopk", "per-layer", "outside"])
def test_nothing_is_lost_with_other_buckets_or_ranks(name: str, two: Ranks, four: Ranks) -> None:
    sparsifier = training.SPARSIFIERS[name]
    before = {
        ranks: ranks.run(saved_after_six, {"sparsifier": sparsifier}) for ranks in (two, four)
    }
    for old in two, four:
        saved, owed = zip(*before[old], strict=True)
        for new in two, four:
            for settings in ({"scope": "bucket"}, {"scope": "global"}):
                for ddp in (True, False):
                    after = new.run(
                        laid_out_anew, {"sparsifier": sparsifier, **settings}, saved, ddp
                    )
                    had = torch.stack(owed).mean(0) + torch.stack([each[0] for each in after]).mean(
                        0
                    )
                    kept = torch.stack([each[1] for each in after]).mean(0)
                    for _, _, received in after:
                        assert torch.allclose(kept + received, had, rtol=0.0, atol=1e-15)


def pickled() -> tuple[Tensor, Tensor, list[str]]:
    model = training.network()
    state = SparseState(rb.RegTopK(density=0.1), dist.group.WORLD, model=model)
    ddp = training.wrapped(model, state)
    training.train(ddp, range(4))
    content = pickle.dumps((state, model.state_dict()))
    training.train(ddp, range(4, 8))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        restored, parameters = pickle.loads(content)
    again = training.network()
    again.load_state_dict(parameters)
    training.train(training.wrapped(again, restored), range(4, 8))
    return training.flat(model), training.flat(again), [str(each.message) for each in said]


def test_pickles_drop_the_process_group_and_say_so(two: Ranks) -> None:
    for once, again, said in two.run(pickled):
        assert torch.equal(once, again)
        assert len(said) == 1
        assert "has the default process group and no model" in said[0]


def pickled_in_rank_0() -> str:
    """Train, and go on from the pickle that rank 0 has made, as with a hook without residual."""
    model = training.network()
    state = SparseState(rb.TopK(density=0.1))
    training.train(training.wrapped(model, state), range(2))
    content = [pickle.dumps(state)]
    dist.broadcast_object_list(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has lost its process group
        restored = pickle.loads(content[0])
    with pytest.raises(rb.ConfigurationError) as caught:
        training.train(training.wrapped(training.network(), restored), range(1))
    return str(caught.value)


def test_a_pickle_of_another_rank_is_refused(two: Ranks) -> None:
    for said in two.run(pickled_in_rank_0):
        assert said.startswith("rank 1 of 2 cannot go on without what rank 1 of 2 has saved")


def loaded(saved: list[Any], named: bool, cap: float) -> str:
    """Load one of these states for each rank, and train; return what is wrong."""
    model = training.network()
    state = SparseState(rb.TopK(density=0.1), model=model if named else None)
    ddp = training.wrapped(model, state, find_unused_parameters=True, bucket_cap_mb=cap)
    try:
        if saved:
            state.load_state_dict(saved[dist.get_rank() % len(saved)])
        training.train(ddp, range(2))
    except rb.ConfigurationError as error:
        return str(error)
    return ""


def saved_with_buckets(cap: float) -> Any:
    model = training.network()
    state = SparseState(rb.TopK(density=0.1))
    ddp = training.wrapped(model, state, find_unused_parameters=True, bucket_cap_mb=cap)
    training.train(ddp, range(3))
    return through_a_file(state.state_dict())


def test_what_does_not_fit_is_refused(two: Ranks) -> None:
    saved = two.run(saved_with_buckets, 0.004)
    assert two.run(loaded, saved, False, 0.004) == ["", ""]
    for said in two.run(loaded, saved, False, 0.002):
        assert said.startswith("the parameters of a saved state came in other buckets")
    assert two.run(loaded, saved[::-1], True, 0.004) == [
        f"rank {rank} of 2 cannot go on without what rank {rank} of 2 has saved: load the states "
        "of all ranks, as a list"
        for rank in range(2)
    ]
    with pytest.raises(rb.ConfigurationError, match="rank 3 of 4 cannot go on without what rank 1"):
        share_of(saved[:1], 3, 4)
    later = {**saved[1], "iteration": 4}
    with pytest.raises(rb.ConfigurationError, match="expected those of one iteration"):
        share_of([saved[0], later], 0, 2)
    for wrong in ({}, {"version": 2}, 3):
        for said in two.run(loaded, [wrong], False, 0.004):
            assert said.startswith(
                "expected what SparseState.state_dict() of this version returned"
            )
    other = [{**each, "parameters": each["parameters"][:-1]} for each in saved]
    for said in two.run(loaded, other, False, 0.004):
        assert said.startswith("a saved state is of a model with other parameters")
