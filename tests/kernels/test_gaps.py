"""Indices as the bits of their gaps: the same bytes from NumPy and from Numba, and back."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench.kernels import gaps as plain
from regtopk_bench.kernels.gaps import BLOCK, RAW, Array

numba_cpu = pytest.importorskip("regtopk_bench.kernels.numba_cpu")
from regtopk_bench.kernels.numba_cpu import gaps as compiled  # noqa: E402

CODERS = (plain, compiled)

MANY = 200 * BLOCK + 9
"""Entries that are enough for three threads."""


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@st.composite
def selections(draw: st.DrawFn) -> tuple[Array, int]:
    """Draw indices and J: evenly spread, in clusters, close together, or far apart."""
    count = draw(st.sampled_from([0, 1, 2, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5, MANY]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    mean = 2.0 ** draw(st.integers(0, 30))
    gaps = random.geometric(1.0 / mean, count)
    if draw(st.booleans()):
        gaps[random.random(count) < 0.02] += 2 ** draw(st.integers(0, 34))
    if draw(st.booleans()):
        gaps[:] = draw(st.integers(1, 2**31))
    indices = np.cumsum(gaps) - 1
    return indices, (int(indices[-1]) if count else 0) + draw(st.sampled_from([1, 2, 1000]))


def index_bytes(dim: int) -> int:
    return 4 if dim <= 2**32 else 8


def written(coder: Any, indices: Array, dim: int) -> Array:
    guarded = np.full(plain.room(len(indices), index_bytes(dim)) + 2, 170, np.uint8)
    size = coder.write(indices, index_bytes(dim), guarded[1:-1])
    assert guarded[0] == guarded[-1] == 170
    return guarded[1 : 1 + size].copy()


@given(selection=selections(), threads=st.sampled_from([1, 3]))
def test_both_write_the_same_bytes_and_read_each_others(
    selection: tuple[Array, int], threads: int
) -> None:
    indices, dim = selection
    with torch_threads(threads):
        out, own_out = (written(coder, indices, dim) for coder in CODERS)
    assert np.array_equal(out, own_out)
    assert len(out) <= len(indices) * index_bytes(dim) + -(-len(indices) // BLOCK)
    for coder in CODERS:
        back = np.full(len(indices), -1)
        with torch_threads(threads):
            assert coder.read(np.append(out, out), index_bytes(dim), dim, back) == len(out)
        assert np.array_equal(back, indices)
        counts = np.array([len(indices)])
        assert coder.sizes(indices[None], counts, index_bytes(dim)) == [len(out)]
        if len(indices):
            assert coder.read(out, index_bytes(dim), int(indices[-1]), back) == -1


@given(data=st.data(), threads=st.sampled_from([1, 3]))
def test_both_agree_on_what_is_damaged(data: st.DataObject, threads: int) -> None:
    """And on what it says if it is not; nothing is read or written elsewhere."""
    indices, dim = data.draw(selections())
    out = written(compiled, indices, dim)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    match data.draw(st.sampled_from(["bits", "bytes", "header", "cut", "dim"])):
        case "bits" if len(out):
            out[random.integers(len(out), size=3)] ^= np.uint8(1 << random.integers(8))
        case "bytes":
            out[:] = random.integers(0, 256, len(out), np.uint8)
        case "header" if len(out):
            said = 2 * -(-len(indices) // BLOCK)
            out[random.integers(min(said, len(out)))] = random.choice([0, 1, 32, 33, 254, RAW])
        case "cut":
            out = out[: random.integers(len(out) + 1)]
        case _:
            dim = int(random.integers(1, dim + 1))
    frozen, guarded = out.copy(), np.full(len(indices) + 2, -7)
    found = []
    with torch_threads(threads):
        for coder in CODERS:
            end = coder.read(out, index_bytes(dim), dim, guarded[1:-1])
            found.append((end, guarded[1:-1].tolist() if end >= 0 else None))
    assert found[0] == found[1]
    assert np.array_equal(out, frozen)
    assert guarded[0] == guarded[-1] == -7
    if found[0][0] >= 0:
        assert found[0][0] <= len(out)
        assert (np.diff(np.array([-1, *guarded[1:-1], dim])) > 0).all()


@given(data=st.data())
def test_compiled_code_looks_where_it_is_led(data: st.DataObject) -> None:
    """Lengths that do not fit together are found out, and so are indices in any order."""
    indices, _ = data.draw(selections())
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    out = np.empty(data.draw(st.integers(0, 3 * len(indices))), np.uint8)
    compiled.write(indices, 4, out)
    compiled.write(random.permutation(indices) * random.integers(-(2**40), 2**40), 4, out)
    compiled.sizes(indices[None], np.array([len(indices) + 7]), 4)
    compiled.sizes(indices[None], np.array([-3]), 4)


@pytest.mark.parametrize("indices", [[3, 3], [5, 4], [-1, 2], [0, 1, 2, 1]])
@pytest.mark.parametrize("coder", CODERS)
def test_indices_that_do_not_ascend_are_found(coder: Any, indices: list[int]) -> None:
    drawn = np.array(indices)
    assert coder.write(drawn, 4, np.zeros(100, np.uint8)) == -1
    assert coder.sizes(drawn[None], np.array([len(indices)]), 4) == [-1]


@pytest.mark.parametrize("density", [0.001, 0.01, 0.1])
def test_indices_take_little_more_than_their_entropy(density: float) -> None:
    dim = int(50_000 / density)
    selected = np.sort(np.random.default_rng(1).choice(dim, 50_000, replace=False))
    (size,) = compiled.sizes(selected[None], np.array([50_000]), 4)
    ways = math.lgamma(dim + 1) - math.lgamma(50_001) - math.lgamma(dim - 49_999)
    assert 1.0 < 8 * size / (ways / math.log(2)) < 1.05
