"""Messages as bytes: as many as are counted, and back without loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.messages import Concatenated, Encoding, join, pack, unpack
from tests.messages.test_messages import DIM, Entries, batches, dense, sparse
from tests.messages.test_other_kind import EightBits
from tests.strategies import DTYPES


class TwoWidths(rb.Message):
    """Tensors whose second dimensions differ between workers, and others without one."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors, self.dim = list(tensors), DIM

    def rows(self) -> tuple[Tensor, ...]:
        return tuple(self.tensors)

    def gathered(self, rows: Sequence[Tensor]) -> TwoWidths:
        return TwoWidths(rows)

    def to_dense(self) -> Tensor:
        return torch.zeros(len(self), DIM)


@st.composite
def kinds(draw: st.DrawFn) -> list[rb.Message]:
    """Draw messages of one sparsifier in a few processes."""
    dtype = draw(st.sampled_from(DTYPES))
    kind = draw(st.sampled_from(["sparse", "same k", "dense", "levels", "layers"]))
    pieces = draw(st.lists(batches(same_counts=kind == "same k"), min_size=1, max_size=3))
    if kind == "same k":
        pieces = [list(pieces[0]) for _ in pieces]

    def message(sent: list[Entries], kind: str) -> rb.Message:
        dense_NJ = dense(sent, dtype)
        match kind:
            case "sparse" | "same k":
                return sparse(sent, dtype, counted=kind == "sparse")
            case "dense":
                return rb.DenseGradient(dense_NJ)
            case "levels":
                return EightBits(dense_NJ.to(torch.int8), dense_NJ[:, 0].clone())
        inner = Concatenated([message(sent, "dense"), message(sent, "sparse")])
        return Concatenated([message(sent, "sparse"), inner, message(sent, "levels")])

    return [message(sent, kind) for sent in pieces]


@given(messages=kinds(), encoding=st.sampled_from(Encoding))
def test_what_arrives_is_what_was_sent(messages: list[rb.Message], encoding: Encoding) -> None:
    packed = [pack(message, encoding) for message in messages]
    for message, own in zip(messages, packed, strict=True):
        assert [len(content) for content in own] == list(message.bytes_N(encoding))
    everyone = unpack(messages[0], list(itertools.chain(*packed)), encoding)
    assert type(everyone) is type(messages[0])
    assert torch.equal(everyone.to_dense(), torch.cat([each.to_dense() for each in messages]))
    sizes = [size for message in messages for size in message.bytes_N(encoding)]
    assert list(everyone.bytes_N(encoding)) == sizes
    assert everyone.stated(encoding) == messages[0].stated(encoding)
    again = [content for own in packed for content in own]
    for ours, theirs in zip(pack(everyone, encoding), again, strict=True):
        assert torch.equal(ours, theirs)


@given(widths=st.lists(st.integers(0, 200), min_size=1, max_size=3))
def test_rows_of_any_width_arrive_padded(widths: list[int]) -> None:
    messages = [
        TwoWidths(
            [
                torch.randn(2, width),
                torch.arange(2),
                torch.ones(2, width // 2, 3, dtype=torch.int16),
                torch.randn(2, width) > 0,
            ]
        )
        for width in widths
    ]
    packed = [content for message in messages for content in pack(message, Encoding.COMPACT)]
    everyone = unpack(messages[0], packed, Encoding.COMPACT)
    for ours, theirs in zip(everyone.rows(), join(messages).rows(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_kind_that_miscounts_is_named() -> None:
    class Miscounted(EightBits):
        def sizes_N(self, encoding: Encoding) -> Sequence[int]:
            return [1] * len(self)

    message = Miscounted(torch.zeros(1, 3, dtype=torch.int8), torch.ones(1))
    with pytest.raises(rb.RunError, match=r"Miscounted say that they have \[1\] bytes"):
        pack(message, Encoding.COORDINATES)
