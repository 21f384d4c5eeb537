"""Every kind of message: it travels in pieces, is weighed exactly, and its bytes are counted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

import regtopk_bench as rb
from regtopk_bench.messages import Alone, Concatenated, Encoding, gather, join
from tests.strategies import DTYPES

DIM = 7
COORDINATES = Encoding.COORDINATES

Entries = dict[int, float]
"""What one worker sends, by index in ascending order."""

numbers = st.integers(-999, 999).map(lambda whole: whole / 8)


@st.composite
def batches(draw: st.DrawFn, same_counts: bool = False) -> list[Entries]:
    """Draw what up to six workers send, nothing included."""
    workers = draw(st.integers(1, 6))
    counts = st.just(draw(st.integers(0, DIM))) if same_counts else st.integers(0, DIM)
    sent = []
    for _ in range(workers):
        count = draw(counts)
        indices = draw(st.sets(st.integers(0, DIM - 1), min_size=count, max_size=count))
        sent.append({index: draw(numbers) for index in sorted(indices)})
    return sent


def sparse(
    sent: Sequence[Entries], dtype: torch.dtype = torch.float64, *, counted: bool = True
) -> rb.SparseGradient:
    """Return messages as wide as the longest; counts may be left out where all are as long."""
    counts = [len(entries) for entries in sent]
    indices = torch.zeros(len(sent), max(counts), dtype=torch.int64)
    values = torch.zeros(len(sent), max(counts), dtype=dtype)
    for row, entries in enumerate(sent):
        indices[row, : len(entries)] = torch.tensor(list(entries), dtype=torch.int64)
        values[row, : len(entries)] = torch.tensor(list(entries.values()), dtype=dtype)
    assert counted or len(set(counts)) == 1
    return rb.SparseGradient(indices, values, DIM, torch.tensor(counts) if counted else None)


def dense(sent: Sequence[Entries], dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the gradients that messages stand for."""
    rows = [[entries.get(index, 0.0) for index in range(DIM)] for entries in sent]
    return torch.tensor(rows, dtype=dtype)


def pieces(sent: Sequence[Entries], cuts: Sequence[int]) -> list[Sequence[Entries]]:
    """Cut what workers send into consecutive parts, none of them empty."""
    bounds = sorted({0, len(sent), *(cut % len(sent) for cut in cuts)})
    return [sent[start:end] for start, end in itertools.pairwise(bounds)]


def in_worker_order(messages_NJ: Tensor, weights_N: Tensor) -> Tensor:
    """Add up one worker after the other, as the definition of an aggregate says."""
    sum_J = torch.zeros(messages_NJ.shape[1], dtype=messages_NJ.dtype)
    for message_J, weight in zip(messages_NJ, weights_N, strict=True):
        sum_J = sum_J + weight * message_J
    return sum_J


class Others:
    """The way to workers of other processes whose rows are known, padded as `Peers` promises."""

    processes = 2

    def __init__(self, others: rb.Message) -> None:
        self._others = others

    def all_gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            pad_sequence([*ours, *theirs], batch_first=True)
            if ours.dim() > 1
            else torch.cat([ours, theirs])
            for ours, theirs in zip(rows, self._others.rows(), strict=True)
        )


@given(sent=batches(), cuts=st.lists(st.integers(0, 5)), dtype=st.sampled_from(DTYPES))
def test_sparse_gradients_are_joined_from_pieces_of_any_width(
    sent: list[Entries], cuts: list[int], dtype: torch.dtype
) -> None:
    """Also where only some of the pieces say how many entries their workers send."""
    parts = [
        sparse(part, dtype, counted=len({len(entries) for entries in part}) > 1)
        for part in pieces(sent, cuts)
    ]
    whole, joined = sparse(sent, dtype), join(parts)
    assert torch.equal(joined.to_dense(), dense(sent, dtype))
    assert joined.counts.tolist() == [len(entries) for entries in sent]
    assert list(joined.bytes_N(COORDINATES)) == list(whole.bytes_N(COORDINATES))
    for ours, theirs in zip(joined.rows(), whole.rows(), strict=True):
        assert torch.equal(ours, theirs)


@given(here=batches(), there=batches())
def test_messages_of_another_process_come_after_those_hosted_here(
    here: list[Entries], there: list[Entries]
) -> None:
    everyone = gather(sparse(here), Others(sparse(there)))
    assert torch.equal(everyone.to_dense(), dense([*here, *there]))
    assert everyone.counts.tolist() == [len(entries) for entries in [*here, *there]]
    alone = sparse(here)
    assert gather(alone, Alone()) is alone


NOTHING: Entries = {}
ONE: Entries = {3: 1.5}
TWO: Entries = {0: -2.0, 6: 4.0}


@pytest.mark.parametrize(
    "parts",
    [
        [sparse([TWO, ONE]), sparse([TWO, TWO], counted=False)],  # counts in the first only
        [sparse([TWO], counted=False), sparse([NOTHING, ONE])],  # in the second only
        [sparse([ONE], counted=False), sparse([TWO, TWO], counted=False)],  # in none
        [sparse([NOTHING], counted=False), sparse([NOTHING, NOTHING])],  # nobody sends anything
        [sparse([NOTHING], counted=False), sparse([TWO])],
    ],
    ids=["first", "second", "none", "nothing", "nothing here"],
)
def test_no_worker_is_lost_whichever_parts_have_counts(parts: list[rb.SparseGradient]) -> None:
    expected = torch.cat([part.to_dense() for part in parts])
    sizes = [size for part in parts for size in part.bytes_N(COORDINATES)]
    for together in (join(parts), gather(parts[0], Others(parts[1]))):
        assert torch.equal(together.to_dense(), expected)
        assert list(together.bytes_N(COORDINATES)) == sizes


@given(sent=batches(), dtype=st.sampled_from(DTYPES), data=st.data())
def test_what_is_weighed_is_what_the_messages_stand_for(
    sent: list[Entries], dtype: torch.dtype, data: st.DataObject
) -> None:
    """To the last bit, for every kind: the aggregate does not depend on the kind."""
    weights = torch.tensor([data.draw(st.floats(0.01, 1.0)) for _ in sent], dtype=dtype)
    expected = in_worker_order(dense(sent, dtype), weights)
    messages = sparse(sent, dtype)
    assert torch.equal(messages.total(weights), expected)
    assert torch.equal(rb.DenseGradient(dense(sent, dtype)).total(weights), expected)
    assert torch.equal(rb.Message.total(messages, weights), expected)
    both = Concatenated([messages, rb.DenseGradient(dense(sent, dtype))])
    assert torch.equal(both.total(weights), torch.cat([expected, expected]))
    assert torch.equal(rb.aggregate(both, weights), both.total(weights))


@given(sent=batches(), dtype=st.sampled_from(DTYPES))
def test_bytes_are_pairs_or_a_plain_vector_whichever_is_shorter(
    sent: list[Entries], dtype: torch.dtype
) -> None:
    size = dtype.itemsize
    expected = [min(len(entries) * (4 + size), DIM * size) for entries in sent]
    assert list(sparse(sent, dtype).bytes_N(COORDINATES)) == expected
    whole = rb.DenseGradient(dense(sent, dtype))
    assert list(whole.bytes_N(COORDINATES)) == [DIM * size] * len(sent)


@given(sent=batches(same_counts=True))
def test_counts_that_are_all_the_same_need_not_be_said(sent: list[Entries]) -> None:
    unsaid, said = sparse(sent, counted=False), sparse(sent)
    assert unsaid.counts.tolist() == said.counts.tolist()
    assert list(unsaid.bytes_N(COORDINATES)) == list(said.bytes_N(COORDINATES))
    assert unsaid.stated(COORDINATES) == said.stated(COORDINATES) == "4-byte indices, 8-byte values"


def test_indices_of_very_long_gradients_take_more_bytes() -> None:
    for dim, index_bytes in ((2**32, 4), (2**32 + 1, 8)):
        message = rb.SparseGradient(torch.tensor([[dim - 1]]), torch.ones(1, 1), dim)
        assert list(message.bytes_N(COORDINATES)) == [index_bytes + 4]
        assert message.stated(COORDINATES) == f"{index_bytes}-byte indices, 4-byte values"


@given(sent=batches(), cuts=st.lists(st.integers(0, 5)))
def test_messages_about_parts_of_a_gradient_travel_as_one(
    sent: list[Entries], cuts: list[int]
) -> None:
    def about_layers(part: Sequence[Entries]) -> Concatenated:
        first, second, third = (
            sparse(part),
            rb.DenseGradient(dense(part)),
            sparse([ONE] * len(part)),
        )
        return Concatenated([first, Concatenated([second, third])])

    # The first part varies in size, so a byte says how large it is; the last takes the rest.
    whole = about_layers(sent)
    joined = join([about_layers(part) for part in pieces(sent, cuts)])
    layers = [dense(sent), dense(sent), dense([ONE] * len(sent))]
    assert whole.dim == joined.dim == 3 * DIM
    assert torch.equal(joined.to_dense(), torch.cat(layers, dim=1))
    assert list(joined.bytes_N(COORDINATES)) == [
        1 + min(12 * len(entries), 8 * DIM) + 8 * DIM + 12 for entries in sent
    ]
    assert joined.stated(COORDINATES) == "4-byte indices, 8-byte values"


def test_parts_in_different_encodings_name_them_all() -> None:
    parts = [sparse([ONE]), sparse([ONE], torch.float32), sparse([TWO])]
    assert Concatenated(parts).stated(COORDINATES) == (
        "4-byte indices, 8-byte values; 4-byte indices, 4-byte values"
    )


@pytest.mark.parametrize(
    ("indices", "counts", "message"),
    [
        ([[0, 2**40]], None, "index 1099511627776 is not among the 7 entries"),
        ([[-1, 2]], None, "index -1 is not among"),
        ([[2, 2]], None, "indices of row 0 are not distinct and ascending"),
        ([[3, 0]], [3], r"counts \[3\] are not from 0 to 2"),
        ([[3, 4]], [1], "a row is longer than its count"),
        ([[3, 4]], [1, 1], r"counts: expected a plain tensor \(1,\)"),
    ],
)
def test_messages_that_cannot_be_read_are_refused(
    indices: list[list[int]], counts: list[int] | None, message: str
) -> None:
    """When they are made, by whoever makes them, and however they arrive."""
    given_counts = None if counts is None else torch.tensor(counts)
    with pytest.raises(rb.ConfigurationError, match=message):
        rb.SparseGradient(torch.tensor(indices), torch.ones(1, 2), DIM, given_counts)
    rows = [torch.tensor(counts or [2]), torch.tensor(indices), torch.ones(1, 2)]
    with pytest.raises(rb.ConfigurationError, match=message):
        sparse([TWO]).gathered(rows)


def test_indices_that_are_changed_later_reach_no_other_memory() -> None:
    message = sparse([TWO], counted=False)
    message.indices[0, 1] = 2**40
    with pytest.raises(rb.ConfigurationError, match="an index is too large"):
        rb.aggregate(message, torch.ones(1, dtype=torch.float64))
    with pytest.raises(rb.ConfigurationError, match="weights: expected"):
        rb.aggregate(message, torch.ones(2, dtype=torch.float64))


def test_values_alone_are_what_is_left_without_indices() -> None:
    indices, values = torch.tensor([[0, 3, 4]] * 2), torch.ones(2, 3)
    sparse = rb.SparseGradient(indices, values, 10)
    dense = rb.DenseGradient(torch.ones(2, 7, dtype=torch.float64))
    assert (sparse.value_bytes(), dense.value_bytes()) == (12, 56)
    rounded = rb.SparseGradient(indices, values, 10, sent_as=torch.bfloat16)
    assert rounded.value_bytes() == 6
    assert Concatenated([sparse, dense, rounded]).value_bytes() == 12 + 56 + 6
