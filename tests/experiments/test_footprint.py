"""What sparsifiers send in a step, found out on short gradients, and how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import regtopk_bench as rb
from regtopk_bench.experiments import footprint as module
from regtopk_bench.experiments.footprint import Scale, footprint, step_seconds, whole_gradient
from regtopk_bench.messages import Encoding
from regtopk_bench.results.costs import Footprint
from regtopk_bench.sparsify import State
from tests.messages.test_other_kind import EightBit

SCALE = Scale(10_000, 8, torch.float32)
GIVEN = 0.25
"""Seconds of a step, so that nothing is timed."""


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count and time a tenth of the gradients."""
    monkeypatch.setattr(module, "_MOST_COUNTED", 1000)
    monkeypatch.setattr(module, "_MOST_TIMED", 1000)


def counted(sparsifier: rb.Sparsifier, scale: Scale = SCALE, **options: Any) -> Footprint:
    encoding = options.get("encoding", Encoding.COORDINATES)
    return footprint(sparsifier, scale, encoding, GIVEN, "cpu")


def test_entries_that_differ_between_workers_have_indices() -> None:
    found = counted(rb.TopK(density=0.01))
    assert (found.message_bytes, found.summed_bytes) == (100 * 8, None)
    assert found.aggregate_bytes == 8 * 100 * 8
    assert found.coordination_bytes == 0.0
    assert found.sparsify_seconds == GIVEN
    assert found.encoding == "4-byte indices, 4-byte values"


def test_entries_that_all_share_are_values_alone() -> None:
    found = counted(rb.RandomK(density=0.01))
    assert found.summed_bytes == found.aggregate_bytes == 100 * 4


def test_the_aggregate_is_no_longer_than_a_gradient() -> None:
    assert counted(rb.TopK(density=0.4)).aggregate_bytes == 40_000


def test_values_in_fewer_bytes() -> None:
    assert counted(rb.TopK(density=0.01, values="bfloat16")).message_bytes == 100 * 6
    assert counted(rb.RandomK(density=0.01, values="bfloat16")).summed_bytes == 100 * 2


def test_the_compact_encoding_takes_less() -> None:
    sparsifier = rb.TopK(density=0.01)
    compact = counted(sparsifier, encoding=Encoding.COMPACT)
    assert 100 * 4 < compact.message_bytes < counted(sparsifier).message_bytes
    assert compact.encoding.startswith("compact indices, 4-byte values")


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float64, 12), (torch.float32, 8), (torch.bfloat16, 8)]
)
def test_sparsifiers_compute_in_single_or_double_precision(dtype: torch.dtype, size: int) -> None:
    assert counted(rb.TopK(k=100), Scale(10_000, 8, dtype)).message_bytes == 100 * size


@pytest.mark.parametrize(("dtype", "size"), [(torch.float64, 8), (torch.float16, 2)])
def test_a_whole_gradient_travels_as_it_is(dtype: torch.dtype, size: int) -> None:
    found = whole_gradient(Scale(10**10, 8, dtype))
    assert found.message_bytes == found.summed_bytes == found.aggregate_bytes == size * 10**10
    assert found.sparsify_seconds == 0.0


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize(
    "sparsifier",
    [rb.TopK(density=0.0123), rb.TopK(k=321), rb.RegTopK(k=7), rb.RandomK(density=0.3)],
)
def test_long_gradients_are_counted_in_proportion_and_exactly(sparsifier: rb.Sparsifier) -> None:
    assert SCALE.counted == 1000
    found, entries = counted(sparsifier), sparsifier.entries(SCALE.dim)
    assert found.message_bytes == pytest.approx(8 * entries)
    if sparsifier.summable:
        assert found.summed_bytes == pytest.approx(4 * entries)


@pytest.mark.usefixtures("_short")
def test_other_kinds_of_messages_are_counted_too() -> None:
    """A level for each entry, and a scale of 4 bytes for as many entries as are counted."""
    found = counted(EightBit())
    assert found.message_bytes == pytest.approx(10 * (1000 + 4))
    assert found.summed_bytes is None


@dataclass(frozen=True)
class Asking(rb.Sparsifier):
    """Sends what the first worker of all would select: it is asked for its choice."""

    def init(self, placement: rb.Placement) -> State:
        return State(placement=placement)

    def compress(self, state: State, grad_NJ: Tensor) -> rb.SparseGradient:
        best_N1 = grad_NJ.abs().argmax(dim=1, keepdim=True)
        (all_N1,) = state.placement.peers.all_gather(best_N1)
        assert len(all_N1) == state.placement.total
        chosen_N1 = all_N1[:1].expand_as(best_N1).contiguous()
        return rb.SparseGradient(chosen_N1, grad_NJ.gather(1, chosen_N1), grad_NJ.shape[1])


def test_what_workers_tell_each_other_is_counted() -> None:
    """An index of 8 bytes from each, every round."""
    assert counted(Asking()).coordination_bytes == 8


def test_a_sparsifier_that_does_not_suit_the_gradients_is_refused() -> None:
    with pytest.raises(rb.ConfigurationError, match="k 10001 exceeds the 10000 entries"):
        counted(rb.TopK(k=10_001))


def test_one_from_outside_that_fails_is_named() -> None:
    class Broken(Asking):
        def compress(self, state: State, grad_NJ: Tensor) -> rb.SparseGradient:
            raise ZeroDivisionError

    with pytest.raises(rb.RunError, match="Broken: compress failed: ZeroDivisionError"):
        counted(Broken())


@dataclass(frozen=True, kw_only=True)
class Noted(rb.TopK):
    """Notes the gradients that it is given."""

    seen: Sequence[Tensor] = ()

    def compress(self, state: Any, grad_NJ: Tensor) -> rb.SparseGradient:
        self.seen.append(grad_NJ)  # type: ignore[attr-defined]
        return super().compress(state, grad_NJ)


@pytest.mark.usefixtures("_short")
def test_a_step_is_timed_on_one_worker_and_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        """Every call takes a second."""

        def seconds(self, call: Any) -> float:
            call()
            return 1.0

    monkeypatch.setattr(module, "CpuClock", Clock)
    seen: list[Tensor] = []
    assert step_seconds(Noted(density=0.01, seen=seen), SCALE, "cpu") == 10 * 2.0
    assert {tuple(each.shape) for each in seen} == {(1, 1000)}
    assert len(seen) == 10


def test_times_are_measured() -> None:
    assert 0.0 < step_seconds(rb.TopK(density=0.01), SCALE, "cpu") < 10.0


def test_alone_there_is_one_worker() -> None:
    assert counted(rb.TopK(density=0.01), Scale(10_000, 1, torch.float32)).message_bytes == 800
