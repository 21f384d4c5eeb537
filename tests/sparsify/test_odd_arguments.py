"""Whatever is handed to a public function, an error of the package or a correct result comes out.

A read or write outside of a tensor would end the process that runs these tests, or show as a wrong
result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench import kernels
from regtopk_bench.kernels import reference
from regtopk_bench.messages import Concatenated, Encoding, join
from tests.oddities import numbers, odd, some_odd
from tests.sparsify.test_conformance import TABLE, Conformance, every

N, J, K = 3, 7, 4


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Accept that the package refuses: with one line."""
    found = None
    try:
        yield
    except rb.RegtopkBenchError as error:
        found = str(error)
    assert found is None or len(found.splitlines()) == 1


def floats(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=dtype)


def indices() -> Tensor:
    return torch.tensor([[0, 2, 5, 6], [1, 2, 3, 4], [0, 1, 5, 6]])


def shares(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor([0.5, 0.25, 0.25], dtype=dtype)


dtypes = st.sampled_from([torch.float32, torch.float64, torch.float16])


def same(ours: Tensor, theirs: Tensor) -> bool:
    return ours.dtype == theirs.dtype and torch.equal(ours.nan_to_num(), theirs.nan_to_num())


@given(data=st.data(), dtype=dtypes)
def test_messages_of_a_few_entries(data: st.DataObject, dtype: torch.dtype) -> None:
    values, counts = floats(N, K, dtype=dtype), torch.tensor([K, 2, 0])
    drawn = indices()
    drawn[1, 2:], values[1, 2:], drawn[2], values[2] = 0, 0.0, 0, 0.0
    arguments = {"indices": drawn, "values": values, "dim": J, "counts": counts}
    arguments = data.draw(some_odd(arguments | {"weights": shares(dtype)}))
    weights = arguments.pop("weights")
    with refusing():
        message = rb.SparseGradient(**arguments)
        total = rb.aggregate(message, weights)
        sent = message.indices, message.values
        assert same(total, reference.scatter_sum(*sent, weights, message.dim))
        assert message.to_dense().shape == (len(message), message.dim)
        assert len(message.bytes_N(Encoding.COORDINATES)) == len(message)
        message.gathered([data.draw(odd(row)) for row in message.rows()])


@given(data=st.data(), dtype=dtypes)
def test_messages_of_whole_gradients_and_of_parts(data: st.DataObject, dtype: torch.dtype) -> None:
    grad, weights = floats(N, J, dtype=dtype), shares(dtype)
    with refusing():
        message = rb.DenseGradient(data.draw(odd(grad)))
        assert same(rb.aggregate(message, weights), reference.weighted_sum(message.values, weights))
        rb.aggregate(message, data.draw(odd(weights)))
    with refusing():
        rb.aggregate(data.draw(odd(grad)), weights)
    parts = st.sampled_from(
        [
            rb.DenseGradient(grad),
            rb.DenseGradient(grad[:2]),
            rb.SparseGradient(indices(), floats(N, K), J),
            None,
            grad,
        ]
    )
    with refusing():
        whole = Concatenated(data.draw(st.lists(parts, max_size=3)))
        assert rb.aggregate(whole, weights).shape == (whole.dim,)
        assert len(whole.bytes_N(Encoding.COORDINATES)) == N
        whole.gathered([data.draw(odd(row)) for row in whole.rows()])
    with refusing():
        join(data.draw(st.lists(parts, min_size=2, max_size=3)))


@given(data=st.data(), dtype=dtypes)
def test_kernels(data: st.DataObject, dtype: torch.dtype) -> None:
    sums: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "scatter_sum": (
            reference.scatter_sum,
            {
                "indices_Nk": indices(),
                "values_Nk": floats(N, K, dtype=dtype),
                "weights_N": shares(dtype),
                "dim": J,
            },
        ),
        "weighted_sum": (
            reference.weighted_sum,
            {"values_NJ": floats(N, J, dtype=dtype), "weights_N": shares(dtype)},
        ),
        "gather": (
            reference.gather,
            {"total_J": floats(J, dtype=dtype), "indices_Nk": indices()},
        ),
        "ratio": (
            reference.ratio,
            {
                "received_Nk": floats(N, K, dtype=dtype),
                "sent_Nk": floats(N, K, dtype=dtype),
                "weights_N": shares(dtype),
                "scale": 4.0,
            },
        ),
        "select": (reference.select, {"score_NJ": floats(N, J, dtype=dtype).abs(), "k": K}),
    }
    name = data.draw(st.sampled_from(sorted(sums)))
    expected, arguments = sums[name]
    arguments = data.draw(some_odd(arguments))
    with refusing():
        got = getattr(kernels, name)(**arguments)
        assert same(got, expected(**arguments))


@pytest.mark.parametrize("dim", [J, 2**16 + 3])
@given(data=st.data(), dtype=dtypes)
def test_steps(dim: int, data: st.DataObject, dtype: torch.dtype) -> None:
    arguments = {
        "residual_NJ": torch.zeros(N, dim, dtype=dtype),
        "grad_NJ": floats(N, dim, dtype=dtype),
        "k": K,
        "corrected_Nk": indices(),
        "factors_Nk": floats(N, K, dtype=dtype).abs(),
        "guesses": [kernels.Guess(last=1.0) for _ in range(N)],
    }
    buffers = {
        "indices": torch.zeros(N, K, dtype=torch.int64),
        "values": torch.zeros(N, K, dtype=dtype),
    }
    drawn = data.draw(some_odd(arguments | buffers))
    out = drawn.pop("indices"), drawn.pop("values")
    before = drawn["residual_NJ"].clone() if isinstance(drawn["residual_NJ"], Tensor) else None
    with refusing():
        got = kernels.step(**drawn, out=data.draw(st.sampled_from([None, out])))
        assert before is not None
        theirs = reference.step(**(drawn | {"residual_NJ": before}))
        assert all(same(mine, other) for mine, other in zip(got, theirs, strict=True))
        assert same(drawn["residual_NJ"], before)


def layered(row: Conformance, data: st.DataObject) -> rb.Sparsifier:
    return rb.PerLayer(row.make(2)) if data.draw(st.booleans()) else row.make(K)


@every
@given(data=st.data(), dtype=dtypes)
def test_rounds_of_a_sparsifier(row: Conformance, data: st.DataObject, dtype: torch.dtype) -> None:
    """One of the things handed over in a round is odd; the round after it is as ever."""
    sparsifier = layered(row, data)
    placement = rb.Placement.alone(N, J, dtype, weights=shares(), shapes=((3,), (0, 2), (2, 2)))
    state, grad = sparsifier.init(placement), floats(N, J, dtype=dtype)
    others = [TABLE[name].make(2).init(placement) for name in sorted(TABLE)]
    for step in data.draw(
        st.lists(st.sampled_from(["round", "grad", "aggregate", "state", "rows"]), max_size=5)
    ):
        with refusing():
            given_state = (
                data.draw(st.sampled_from([*others, None, placement])) if step == "state" else state
            )
            message = sparsifier.compress(
                given_state, data.draw(odd(grad)) if step == "grad" else grad
            )
            total = rb.aggregate(message, placement.weights_N)
            assert total.shape == (J,)
            sparsifier.feedback(state, data.draw(odd(total)) if step == "aggregate" else total)
        if step == "rows":
            rows: dict[str, Any] = dict(sparsifier.state_dict(state))
            if rows:
                rows = data.draw(some_odd({name: each.clone() for name, each in rows.items()}))
            fresh = sparsifier.init(placement)
            with refusing():
                sparsifier.load_state_dict(fresh, rows)
                state = fresh


@given(data=st.data())
def test_placements(data: st.DataObject) -> None:
    arguments = {"workers": N, "dim": J, "seed": 1, "weights": shares()}
    with refusing():
        placement = rb.Placement.alone(**data.draw(some_odd(arguments)))
        assume(placement.dim < 100)  # there may be no memory for a state
        state = rb.RegTopK(k=1).init(placement)
        grad = torch.ones(len(placement.workers), placement.dim, dtype=placement.dtype)
        rb.RegTopK(k=1).compress(state, grad)


@given(field=st.sampled_from(["density", "k", "mu", "q", "denominator"]), value=numbers)
def test_hyper_parameters(field: str, value: Any) -> None:
    with refusing():
        sparsifier = rb.RegTopK(**({} if field in ("density", "k") else {"k": 2}), **{field: value})
        sparsifier.init(rb.Placement.alone(N, J))


ARGUMENTS = (
    *("rounds", "learning_rate", "initial", "processes", "seed", "schedule", "momentum"),
    *("weight_decay", "local_steps", "evaluate_every", "checkpoints", "on_round"),
)


@given(data=st.data())
def test_runs(data: st.DataObject) -> None:
    names = data.draw(st.sets(st.sampled_from(ARGUMENTS), min_size=1, max_size=2))
    odd_ones = numbers.filter(lambda value: value not in (2, 3))
    wrong = {name: data.draw(odd_ones) for name in sorted(names)}
    with refusing():
        arguments = {"rounds": 1, "learning_rate": 0.1, "processes": 1} | wrong
        trace = rb.simulate(rb.LogisticToy(), rb.TopK(k=1), **arguments)
        assert trace.rounds == arguments["rounds"]
