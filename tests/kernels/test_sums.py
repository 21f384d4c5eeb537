"""The sums of a checksum: the same from NumPy and from Numba, and sensitive to any change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench.kernels import sums as plain
from regtopk_bench.kernels.gaps import Array

pytest.importorskip("regtopk_bench.kernels.numba_cpu")
from regtopk_bench.kernels.numba_cpu import sums as compiled

LARGEST = 2**32 - 1
words = st.integers(0, LARGEST)


@st.composite
def contents(draw: st.DrawFn) -> Array:
    """Draw words: any, or all of them as large as can be, where a sum might overflow."""
    count = draw(st.sampled_from([0, 1, 2, 1000, plain.CHUNK, 3 * plain.CHUNK + 1]))
    if draw(st.booleans()):
        return np.full(count, LARGEST, np.uint32)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random.integers(0, 2**32, count, np.uint32)


@given(content=contents(), last=words)
def test_sums_are_those_of_their_definition(content: Array, last: int) -> None:
    numbers = [*content.tolist(), last]
    weighted = sum(place * number for place, number in enumerate(reversed(numbers), 1))
    expected = sum(numbers) % 2**32, weighted % plain.PRIME
    assert plain.sums(content, last) == compiled.sums(content, last) == expected


@given(content=contents(), last=words, data=st.data())
def test_a_change_of_one_or_two_words_shows(content: Array, last: int, data: st.DataObject) -> None:
    if not len(content):
        return
    changed = content.copy()
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(content) - 1))
        changed[at] ^= np.uint32(data.draw(st.sampled_from([1, 2**31, LARGEST]) | words))
    same = np.array_equal(changed, content)
    assert (compiled.sums(changed, last) == compiled.sums(content, last)) == same
    if len(content) > 1:
        swapped = content.copy()
        swapped[:2] = content[1::-1]
        if swapped[0] != swapped[1]:
            assert compiled.sums(swapped, last) != compiled.sums(content, last)
