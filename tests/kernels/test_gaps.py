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
from regtopk_bench.kernels.gaps import BLOCK, RAW, Array, Blocks, placed

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


def written(coder: Any, indices: Array, dim: int) -> tuple[Blocks, Array]:
    guarded = np.full(len(indices) * index_bytes(dim) + 2, 170, np.uint8)
    blocks = coder.write(indices, index_bytes(dim), guarded[1:-1])
    assert blocks is not None
    assert guarded[0] == guarded[-1] == 170
    return blocks, guarded[1 : 1 + blocks.size].copy()


@given(selection=selections(), threads=st.sampled_from([1, 3]))
def test_both_write_the_same_bytes_and_read_each_others(
    selection: tuple[Array, int], threads: int
) -> None:
    indices, dim = selection
    with torch_threads(threads):
        (blocks, out), (own_blocks, own_out) = (written(coder, indices, dim) for coder in CODERS)
    assert np.array_equal(out, own_out)
    assert np.array_equal(blocks.widths, own_blocks.widths)
    assert np.array_equal(blocks.maps, own_blocks.maps)
    for coder in CODERS:
        back = np.full(len(indices), -1)
        with torch_threads(threads):
            assert coder.read(out, index_bytes(dim), blocks, dim, back)
        assert np.array_equal(back, indices)
        header = 2 * len(blocks.widths) - int((blocks.widths == RAW).sum())
        rows, counts = indices[None], np.array([len(indices)])
        assert coder.sizes(rows, counts, index_bytes(dim)) == [header + blocks.size]
        assert header + blocks.size <= len(indices) * index_bytes(dim) + len(blocks.widths)
        if len(indices):
            assert not coder.read(out, index_bytes(dim), blocks, int(indices[-1]), back)


@given(data=st.data(), threads=st.sampled_from([1, 3]))
def test_both_agree_on_what_is_damaged(data: st.DataObject, threads: int) -> None:
    """And on what it says if it is not; nothing is read or written elsewhere."""
    indices, dim = data.draw(selections())
    blocks, out = written(compiled, indices, dim)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    match data.draw(st.sampled_from(["bits", "bytes", "how", "dim"])):
        case "bits" if len(out):
            out[random.integers(len(out), size=3)] ^= np.uint8(1 << random.integers(8))
        case "bytes":
            out[:] = random.integers(0, 256, len(out), np.uint8)
        case "how" if len(blocks.widths):
            widths, maps = blocks.widths.copy(), blocks.maps.copy()
            (widths, maps)[random.integers(2)][random.integers(len(maps))] = random.integers(256)
            maps[widths == RAW] = 0
            blocks = placed(widths, maps, len(indices), index_bytes(dim))
            out = np.resize(out, blocks.size)
        case _:
            dim = int(random.integers(1, dim + 1))
    frozen, guarded = out.copy(), np.full(len(indices) + 2, -7)
    found = []
    with torch_threads(threads):
        for coder in CODERS:
            good = coder.read(out, index_bytes(dim), blocks, dim, guarded[1:-1])
            found.append((good, guarded[1:-1].tolist() if good else None))
    assert found[0] == found[1]
    assert np.array_equal(out, frozen)
    assert guarded[0] == guarded[-1] == -7
    if found[0][0]:
        read = np.array([-1, *guarded[1:-1], dim])
        assert (np.diff(read) > 0).all()


@given(data=st.data())
def test_compiled_code_looks_where_it_is_led(data: st.DataObject) -> None:
    """Places, widths and lengths that do not fit together are found out."""
    indices, dim = data.draw(selections())
    blocks, out = written(compiled, indices, dim)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    kept = data.draw(st.integers(0, len(out)))
    odd = Blocks(
        random.integers(0, 256, len(blocks.widths), np.uint8),
        random.integers(0, 256, len(blocks.maps), np.uint8),
        random.integers(-(2**62), 2**62, len(blocks.starts)) >> random.integers(64),
        0,
    )
    for how in (odd, blocks, blocks._replace(starts=blocks.starts + len(out))):
        compiled.read(out[:kept], 4, how, dim, np.zeros(len(indices), np.int64))
        compiled.read(out[:kept], 4, how, dim, np.zeros(len(indices) // 3, np.int64))
    compiled.write(indices, 4, out[:kept])
    compiled.write(random.permutation(indices) * random.integers(-(2**40), 2**40), 4, out[:kept])
    compiled.sizes(indices[None], np.array([len(indices) + 7]), 4)
    compiled.sizes(indices[None], np.array([-3]), 4)


@pytest.mark.parametrize("indices", [[3, 3], [5, 4], [-1, 2], [0, 1, 2, 1]])
@pytest.mark.parametrize("coder", CODERS)
def test_indices_that_do_not_ascend_are_found(coder: Any, indices: list[int]) -> None:
    drawn = np.array(indices)
    assert coder.write(drawn, 4, np.zeros(100, np.uint8)) is None
    assert coder.sizes(drawn[None], np.array([len(indices)]), 4) == [-1]


@pytest.mark.parametrize("density", [0.001, 0.01, 0.1])
def test_indices_take_little_more_than_their_entropy(density: float) -> None:
    dim = int(50_000 / density)
    selected = np.sort(np.random.default_rng(1).choice(dim, 50_000, replace=False))
    (size,) = compiled.sizes(selected[None], np.array([50_000]), 4)
    ways = math.lgamma(dim + 1) - math.lgamma(50_001) - math.lgamma(dim - 49_999)
    assert 1.0 < 8 * size / (ways / math.log(2)) < 1.05
