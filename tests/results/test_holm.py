from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest

from regtopk_bench.results.holm import corrected, significant


def closed(p: list[float]) -> list[float]:
    """Return p corrected by the closed test on Bonferroni's, of which Holm's is a short cut."""
    numbers = range(len(p))
    subsets = list(chain(*(combinations(numbers, size) for size in range(1, len(p) + 1))))
    return [
        max(min(1.0, len(each) * min(p[i] for i in each)) for each in subsets if number in each)
        for number in numbers
    ]


@pytest.mark.parametrize(
    "p",
    [
        [0.03],
        [0.01, 0.04, 0.03],
        [0.04, 0.04, 0.001, 0.9, 0.2],
        [1.0, 1.0],
        [0.0, 0.0, 0.02],
        [],
    ],
)
def test_the_correction_is_that_of_the_closed_test(p: list[float]) -> None:
    assert corrected(np.array(p)).tolist() == pytest.approx(closed(p))


def test_what_is_significant_is_so_after_the_correction() -> None:
    p = np.random.default_rng(0).uniform(0.0, 0.05, (200, 6)) ** 2
    found, _ = significant(p, 0.005, np.full((200, 1), 6))
    assert found.tolist() == [(corrected(each) <= 0.005).tolist() for each in p]
    assert 0.0 < found.mean() < 1.0
