"""Indices as the bits of their gaps: the same bytes from NumPy and from Numba, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench.kernels import gaps as plain
from regtopk_bench.kernels.gaps import BLOCK, RAW, Array, Blocks, placed

numba_cpu = pytest.importorskip("regtopk_bench.kernels.numba_cpu")
from regtopk_bench.kernels.numba_cpu import gaps as compiled  # noqa: E402

CODERS = (plain, compiled)


@st.composite
def selections(draw: st.DrawFn) -> tuple[Array, int]:
    """Draw indices and J: evenly spread, in clusters, close together, or far apart."""
    count = draw(st.sampled_from([0, 1, 2, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    mean = 2.0 ** draw(st.integers(0, 30))
    gaps = random.geometric(1.0 / mean, count)
    if draw(st.booleans()):
        gaps[random.random(count) < 0.02] += 2 ** draw(st.integers(0, 32))
    if draw(st.booleans()):
        gaps[:] = draw(st.integers(1, 2**31))
    indices = np.cumsum(gaps) - 1
    return indices, (int(indices[-1]) if count else 0) + draw(st.sampled_from([1, 2, 1000]))


def index_bytes(dim: int) -> int:
    return 4 if dim <= 2**32 else 8


def written(coder: object, indices: Array, dim: int) -> tuple[Blocks, Array]:
    measured = coder.measure(indices, index_bytes(dim))  # type: ignore[attr-defined]
    assert measured is not None
    blocks = placed(*measured, len(indices), index_bytes(dim))
    out = np.full(blocks.size, 170, np.uint8)
    assert coder.write(indices, index_bytes(dim), blocks, out)  # type: ignore[attr-defined]
    return blocks, out


@given(selection=selections(), threads=st.sampled_from([1, 3]))
def test_both_write_the_same_bytes_and_read_each_others(
    selection: tuple[Array, int], threads: int
) -> None:
    indices, dim = selection
    (blocks, out), (own_blocks, own_out) = (written(coder, indices, dim) for coder in CODERS)
    assert np.array_equal(out, own_out)
    assert np.array_equal(blocks.widths, own_blocks.widths)
    assert np.array_equal(blocks.maps, own_blocks.maps)
    for coder in CODERS:
        back = np.full(len(indices), -1)
        assert coder.read(out, index_bytes(dim), blocks, dim, back)
        assert np.array_equal(back, indices)
        header = 2 * len(blocks.widths) - int((blocks.widths == RAW).sum())
        rows, counts = indices[None], np.array([len(indices)])
        assert coder.sizes(rows, counts, index_bytes(dim)) == [header + blocks.size]
        assert header + blocks.size <= len(indices) * index_bytes(dim) + len(blocks.widths)
        if len(indices):
            assert not coder.read(out, index_bytes(dim), blocks, int(indices[-1]), back)
