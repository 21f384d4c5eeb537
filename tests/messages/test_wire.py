"""Messages as bytes: as many as are counted, and back without loss."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

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


@given(sent=batches(), encoding=st.sampled_from(Encoding))
def test_parts_may_be_the_same_message(sent: list[Entries], encoding: Encoding) -> None:
    message = sparse(sent)
    twice = Concatenated([message, message])
    back = unpack(twice, pack(twice, encoding), encoding)
    assert torch.equal(back.to_dense(), twice.to_dense())


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


@st.composite
def damages(draw: st.DrawFn) -> Callable[[Tensor], Tensor]:
    """Draw something that happens to bytes on their way; they are never the same afterwards."""
    place, bit = draw(st.integers(0, 2**20)), draw(st.integers(0, 7))
    kind = draw(st.sampled_from(["flip", "cut", "cut start", "longer", "other"]))

    def damage(content: Tensor) -> Tensor:
        at, flipped = place % len(content), content.clone()
        flipped[at] ^= 1 << bit
        return {
            "flip": flipped,
            "cut": content[:at],
            "cut start": content[at + 1 :],
            "longer": torch.cat([content, content[: at + 1]]),
            "other": torch.cat([content[:at], flipped[at : at + 1], content[at:]]),
        }[kind]

    return damage


@given(messages=kinds(), damage=damages())
def test_damaged_messages_are_errors(
    messages: list[rb.Message], damage: Callable[[Tensor], Tensor]
) -> None:
    (message, *_), encoding = messages, Encoding.COMPACT
    packed = pack(message, encoding)
    packed[-1] = damage(packed[-1])
    with pytest.raises(rb.RunError, match="damaged message: the checksum of"):
        unpack(message, packed, encoding)


@given(messages=kinds(), damage=damages(), encoding=st.sampled_from(Encoding))
def test_without_their_checksum_they_are_errors_or_messages(
    messages: list[rb.Message], damage: Callable[[Tensor], Tensor], encoding: Encoding
) -> None:
    """Whatever arrives, what comes of it could have been sent."""
    message = messages[0]
    bodies = [content.numpy() for content in pack(message, encoding)]
    if encoding.checksum_bytes:
        bodies = [content[: -encoding.checksum_bytes] for content in bodies]
    if len(bodies[-1]):
        bodies[-1] = damage(torch.from_numpy(bodies[-1])).numpy()
    with contextlib.suppress(rb.RunError):
        found = message.from_bodies(bodies, encoding)
        assert len(found) == len(bodies)
        found.gathered(found.rows())  # which looks at all of it


@given(sent=batches(), dtype=st.sampled_from(DTYPES))
def test_compact_is_little_longer_than_coordinates_or_a_plain_vector(
    sent: list[Entries], dtype: torch.dtype
) -> None:
    """At most by a byte for a block, of which there is one, and those of count and checksum."""
    message = sparse(sent, dtype)
    sizes = message.bytes_N(Encoding.COORDINATES), message.bytes_N(Encoding.COMPACT)
    for coordinates, compact in zip(*sizes, strict=True):
        assert compact <= coordinates + 1 + 1 + 8
    assert message.stated(Encoding.COMPACT) == (
        f"compact indices, {dtype.itemsize}-byte values, 8-byte checksum"
    )


def test_a_message_that_was_changed_is_not_sent() -> None:
    message = sparse([{1: 2.0, 3: 4.0}])
    message.indices[0, 1] = 0
    for use in (pack, rb.SparseGradient.bytes_N):
        with pytest.raises(rb.ConfigurationError, match="indices of a message were changed"):
            use(message, Encoding.COMPACT)


@pytest.mark.parametrize(
    "packed", [[], [b"no"], [torch.zeros(3)], [torch.zeros(1, 3, dtype=torch.uint8)]]
)
def test_what_is_not_packed_cannot_be_unpacked(packed: list[Any]) -> None:
    with pytest.raises(rb.ConfigurationError, match="packed messages: expected"):
        unpack(sparse([{1: 2.0}]), packed, Encoding.COMPACT)


def test_an_encoding_has_a_name() -> None:
    assert Encoding.named("compact") is Encoding.COMPACT
    with pytest.raises(rb.ConfigurationError, match='encoding "zip" is none of coordinates, comp'):
        Encoding.named("zip")
